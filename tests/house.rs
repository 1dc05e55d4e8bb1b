//! The order of the house: imports between the folders of `src/` go downwards only, and no two files and no
//! two folders import each other.
//!
//! What a module hands on with `pub use` is taken from where it is defined. Unit tests are left out: fixtures
//! may look around.
#![expect(clippy::disallowed_methods, reason = "sources are read here")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `src/` from the lowest to the highest: each may use those before it.
const ORDER: [&str; 12] = [
    "model",
    "collect",
    "correlate",
    "rules",
    "report",
    "look",
    "follow",
    "act",
    "render",
    "serve",
    "watch",
    "cli",
];

/// A file or folder, by its path in `src/`, and those that it uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn imports_go_downwards_only() {
    let upward: Vec<String> = pairs(&house())
        .filter(|(from, to)| floor(from) < floor(to))
        .map(|(from, to)| format!("{from} uses {to}"))
        .collect();
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn no_two_files_use_each_other() {
    let circles = circles(&house());
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn no_two_folders_use_each_other() {
    let mut folders = Uses::new();
    for (from, to) in pairs(&house()) {
        if let Some((one, other)) = sibling_folders(from, to) {
            folders.entry(one).or_default().insert(other);
        }
    }
    let circles = circles(&folders);
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn every_folder_has_its_place() {
    let folders = house()
        .keys()
        .filter_map(|file| file.split_once('/'))
        .map(|(folder, _)| folder.to_owned())
        .collect::<BTreeSet<_>>();
    assert_eq!(folders, ORDER.iter().map(|&name| name.to_owned()).collect());
}

#[test]
fn uses_are_read_with_groups_and_paths_in_the_code() {
    let text = "use crate::a::{b, c::{self, D as E}};\npub(crate) use super::f::G;\nfn h() { super::i::j(); }";
    assert_eq!(
        paths(text),
        [
            "crate::a::b",
            "crate::a::c::self",
            "crate::a::c::D",
            "super::f::G",
            "super::i::j"
        ]
    );
}

fn floor(file: &str) -> usize {
    let folder = file.split_once('/').map_or("", |(folder, _)| folder);
    // The roots of the two crates stand above all.
    ORDER
        .iter()
        .position(|name| *name == folder)
        .unwrap_or(ORDER.len())
}

fn pairs(uses: &Uses) -> impl Iterator<Item = (&str, &str)> {
    uses.iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from.as_str(), to.as_str())))
}

/// The folders in which two files are, where both lie in one folder and are not the same.
fn sibling_folders(from: &str, to: &str) -> Option<(String, String)> {
    let (one, other): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    let common = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let folder = |path: &[&str]| (path.len() > common + 1).then(|| path[..=common].join("/"));
    Some((folder(&one)?, folder(&other)?))
}

/// The uses within groups of files that use each other, directly or through others.
fn circles(uses: &Uses) -> Vec<String> {
    let within_reach: BTreeMap<&str, BTreeSet<&str>> = uses
        .keys()
        .map(|from| (from.as_str(), reach(uses, from)))
        .collect();
    let reaches = |from: &str, to: &str| within_reach.get(from).is_some_and(|all| all.contains(to));
    pairs(uses)
        .filter(|(from, to)| reaches(to, from))
        .map(|(from, to)| format!("{from} uses {to}"))
        .collect()
}

fn reach<'u>(uses: &'u Uses, from: &'u str) -> BTreeSet<&'u str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(next) = open.pop() {
        let to = uses.get(next).into_iter().flatten();
        open.extend(to.filter(|to| seen.insert(to.as_str())).map(String::as_str));
    }
    seen
}

fn house() -> Uses {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&source, &mut files);
    let modules: BTreeMap<Vec<String>, Module> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&source).expect("it was found there");
            let name = name
                .to_str()
                .expect("names of sources are UTF-8")
                .to_owned();
            let text = fs::read_to_string(file).expect("sources can be read");
            (place(&name), Module::new(name, &text))
        })
        .collect();
    modules
        .iter()
        .map(|(place, module)| {
            let used = module.uses.iter();
            let files = used.filter_map(|path| defining_file(&modules, place, path, 0));
            let below = children(&modules, place).filter(|(name, _)| names(&module.code, name));
            let files = files.chain(below.map(|(_, child)| child.file.clone()));
            let others = files.filter(|file| *file != module.file);
            (module.file.clone(), others.collect())
        })
        .collect()
}

/// The modules right below a place, by their names.
fn children<'m>(
    modules: &'m BTreeMap<Vec<String>, Module>,
    place: &'m [String],
) -> impl Iterator<Item = (&'m str, &'m Module)> {
    modules.iter().filter_map(move |(below, module)| {
        let (name, above) = below.split_last()?;
        (above == place).then_some((name.as_str(), module))
    })
}

/// Returns whether code takes something from the module of this name below it.
fn names(code: &str, module: &str) -> bool {
    code.match_indices(&format!("{module}::")).any(|(at, _)| {
        !code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before))
    })
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folders can be read") {
        let path = entry.expect("entries can be read").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
}

/// The module path of a file: `a::b` of `a/b.rs` and of `a/b/mod.rs`.
fn place(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    let mut place: Vec<String> = stem.split('/').map(str::to_owned).collect();
    if matches!(place.last().map(String::as_str), Some("mod" | "lib")) {
        place.pop();
    }
    place
}

struct Module {
    file: String,
    /// Its code, without what it hands on.
    code: String,
    /// The paths in its code.
    uses: Vec<String>,
    /// The paths whose last names stand for what they name, for itself and for others.
    names: Vec<String>,
}

impl Module {
    fn new(file: String, text: &str) -> Self {
        let code = code(text);
        let is_use = |statement: &str| statement.contains("use ");
        let is_handed =
            |statement: &&str| is_use(statement) && statement.trim_start().starts_with("pub");
        let own: String = statements(&code)
            .filter(|statement| !is_handed(statement))
            .collect();
        let all = statements(&code).filter(|statement| is_use(statement));
        Self {
            file,
            uses: paths(&own),
            names: all.flat_map(used_paths).collect(),
            code: own,
        }
    }
}

/// The text without comments, attributes that name paths, and unit tests.
fn code(text: &str) -> String {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..tests].lines();
    lines
        .map(|line| line.split("//").next().unwrap_or_default())
        .map(without_reach)
        .filter(|line| !line.trim_start().starts_with("#["))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The line without the path of `pub(in path)`, which uses nothing.
fn without_reach(line: &str) -> String {
    let Some((before, rest)) = line.split_once("pub(in ") else {
        return line.to_owned();
    };
    let after = rest.split_once(')').map_or("", |(_, after)| after);
    format!("{before}pub{after}")
}

/// Cut after every semicolon, so that a `use` begins a piece.
fn statements(code: &str) -> impl Iterator<Item = &str> {
    code.split_inclusive(';')
}

/// The paths of our own crate in a piece of code, groups taken apart.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let starts = code.match_indices(|letter: char| letter.is_ascii_lowercase());
    let mut past = 0;
    for (at, _) in starts {
        let whole =
            !code[..at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before));
        let rest = &code[at..];
        let root = ["crate::", "super::", "self::"];
        if at < past || !whole || !root.iter().any(|root| rest.starts_with(root)) {
            continue;
        }
        past = at + take_path(rest, "", &mut found);
    }
    found
}

/// The paths of a `use`; one without a root begins below the module.
fn used_paths(statement: &str) -> Vec<String> {
    let mut found = paths(statement);
    if found.is_empty()
        && let Some((_, path)) = statement.split_once("use ")
    {
        take_path(path, "self::", &mut found);
    }
    found
}

/// Takes one path with its groups, and returns how long it was.
fn take_path(text: &str, before: &str, found: &mut Vec<String>) -> usize {
    let end = text
        .find(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter)))
        .unwrap_or(text.len());
    let path = format!("{before}{}", &text[..end]);
    if !path.ends_with("::") {
        found.push(path);
        return end;
    }
    let Some(group) = text[end..].strip_prefix('{') else {
        found.push(path.trim_end_matches(':').to_owned());
        return end;
    };
    let mut at = 0;
    while at < group.len() {
        let rest = &group[at..];
        if rest.starts_with('}') {
            return end + 1 + at + 1;
        }
        if !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
            at += rest.chars().next().map_or(1, char::len_utf8);
        } else if rest.starts_with("as ") {
            // The new name is no path.
            at += rest.find([',', '}']).unwrap_or(rest.len());
        } else {
            at += take_path(rest, &path, found);
        }
    }
    text.len()
}

/// The file in which the last name of a path is defined, as far as modules tell.
fn defining_file(
    modules: &BTreeMap<Vec<String>, Module>,
    from: &[String],
    path: &str,
    depth: usize,
) -> Option<String> {
    if depth > 8 {
        return None;
    }
    let mut place = from.to_vec();
    let mut names = path.split("::").peekable();
    while let Some(name) = names.next_if(|name| matches!(*name, "crate" | "super" | "self")) {
        match name {
            "crate" => place.clear(),
            "super" => {
                place.pop();
            }
            _ => {}
        }
    }
    let mut left: Vec<&str> = names.filter(|name| *name != "self").collect();
    while let Some(next) = left.first() {
        let mut below = place.clone();
        below.push((*next).to_owned());
        if !modules.contains_key(&below) {
            break;
        }
        place = below;
        left.remove(0);
    }
    let module = modules.get(&place)?;
    let Some(name) = left.first() else {
        return Some(module.file.clone());
    };
    let handed_on = module
        .names
        .iter()
        .find(|handed| handed.rsplit("::").next() == Some(name));
    handed_on
        .filter(|handed| **handed != path || place != from)
        .and_then(|handed| defining_file(modules, &place, handed, depth + 1))
        .or_else(|| Some(module.file.clone()))
}
