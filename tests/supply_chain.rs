//! What the program is built from: unsafe code, and the packages that it depends on.
//!
//! `cargo metadata --offline` and the sources are read; nothing is downloaded. Known vulnerabilities are not checked
//! here: that takes a list that changes daily, so it is for `cargo deny check advisories` where there is a network.
#![expect(
    clippy::disallowed_methods,
    reason = "sources are read, and cargo is started"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every file with unsafe code, how many blocks it has, and why no safe code does it.
const UNSAFE: [(&str, usize, &str); 3] = [
    (
        "act/relieve/helper/inherited.rs",
        1,
        "a descriptor that was inherited is known by its number alone",
    ),
    (
        "allocator.rs",
        5,
        "an allocator is unsafe to implement; it passes every call on, and ends the program where memory is refused",
    ),
    (
        "collect/kernel/live/bpf/syscall.rs",
        2,
        "bpf(2) has no safe wrapper without a loader around it; what it returns belongs to nobody yet",
    ),
];

/// Licences under which everything may be passed on with the program.
const LICENCES: [&str; 5] = ["MIT", "Apache-2.0", "Unlicense", "Unicode-3.0", "Zlib"];

/// Where packages may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_unsafe_block_is_listed_with_its_reason() {
    let source = root().join("src");
    let mut found = Vec::new();
    for file in sources(&source) {
        let text = fs::read_to_string(&file).expect("sources can be read");
        let name = file.strip_prefix(&source).expect("it was found there");
        let name = name.to_str().expect("names of sources are UTF-8");
        let code: String = text.lines().filter_map(code).collect();
        let blocks = code.matches("unsafe {").count() + code.matches("unsafe impl").count();
        if code.contains("unsafe ") {
            found.push((name.to_owned(), blocks));
        }
        assert_eq!(
            text.matches("// SAFETY: ").count(),
            blocks,
            "{name}: each unsafe block says why it is sound"
        );
    }
    let listed = UNSAFE.map(|(file, blocks, _)| (file.to_owned(), blocks));
    assert_eq!(found, listed);
}

/// A line without its comment.
fn code(line: &str) -> Option<&str> {
    line.split("//").next()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("folders can be read") {
        let path = entry.expect("entries can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All that cargo knows of the packages that are built for this target.
fn metadata() -> Value {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", &target, "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs these tests");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The packages that are built, by name and version; ours is left out.
fn packages(metadata: &Value) -> BTreeMap<String, &Value> {
    let built: BTreeSet<&str> = items(&metadata["resolve"]["nodes"])
        .map(|node| text(&node["id"]))
        .collect();
    items(&metadata["packages"])
        .filter(|package| built.contains(text(&package["id"])))
        .filter(|package| package["id"] != metadata["resolve"]["root"])
        .map(|package| {
            let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
            (name, package)
        })
        .collect()
}

#[test]
fn every_package_comes_from_the_registry_with_its_sum() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("it is kept");
    for package in lock.split("[[package]]").skip(1) {
        if package.contains("name = \"closewait-doctor\"") {
            continue;
        }
        let source = format!("source = \"{REGISTRY}\"");
        assert!(package.contains(&source), "{package}");
        assert!(package.contains("checksum = \""), "{package}");
    }
    let metadata = metadata();
    for (name, package) in packages(&metadata) {
        assert_eq!(text(&package["source"]), REGISTRY, "{name}");
    }
}

#[test]
fn every_package_may_be_passed_on() {
    let metadata = metadata();
    for (name, package) in packages(&metadata) {
        let licence = text(&package["license"]);
        assert!(is_allowed(licence), "{name}: {licence}");
    }
}

/// Returns whether one of the alternatives of a licence expression is allowed in all its parts.
fn is_allowed(licence: &str) -> bool {
    let flat = licence.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" AND ")
        .all(|part| part.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}

#[test]
fn a_licence_is_allowed_by_one_alternative_and_all_parts() {
    for allowed in ["MIT", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND Unicode-3.0"] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in ["", "GPL-3.0", "MIT AND GPL-3.0"] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

#[test]
fn no_package_of_the_program_brings_or_links_a_foreign_library() {
    let metadata = metadata();
    let linking: Vec<&str> = packages(&metadata)
        .into_values()
        .filter(|package| !package["links"].is_null())
        .map(|package| text(&package["name"]))
        .collect();
    assert!(linking.is_empty(), "{linking:?}");
}

#[test]
fn no_dependency_has_features_that_nobody_asked_for() {
    let metadata = metadata();
    let ours = items(&metadata["packages"])
        .find(|package| package["id"] == metadata["resolve"]["root"])
        .expect("it is there");
    let with_defaults: Vec<&str> = items(&ours["dependencies"])
        .filter(|dependency| dependency["uses_default_features"] == true)
        .map(|dependency| text(&dependency["name"]))
        .collect();
    assert!(
        with_defaults.is_empty(),
        "name the features that are needed, with default-features = false: {with_defaults:?}"
    );
}
