//! Recordings of real conditions, replayed in every format and compared with what stands beside them.
//!
//! `UPDATE_GOLDEN=1 cargo test --test recordings` rewrites that; the difference is to be read before it is committed.
//! `tests/recordings/make` makes the recordings again.

#![expect(
    clippy::disallowed_methods,
    reason = "the recordings are files, and the program is run on them"
)]

mod golden;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use golden::Golden;

/// What is compared: the ending of the file, and the arguments that print it.
const ANSWERS: [(&str, &[&str]); 5] = [
    ("table.txt", &["scan"]),
    ("json", &["scan", "--format", "json"]),
    ("line.txt", &["check"]),
    ("junit.xml", &["check", "--format", "junit"]),
    ("github.txt", &["check", "--format", "github"]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// Every recording: `<finding>/sick.rec`, `<finding>/silent.rec`, and those of real software.
fn recordings() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for kind in std::fs::read_dir(folder()).expect("the folder is there") {
        let kind = kind.expect("it can be read").path();
        if !kind.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(kind).expect("it can be read") {
            let file = file.expect("it can be read").path();
            if file.extension() == Some(OsStr::new("rec")) {
                found.push(file);
            }
        }
    }
    found.sort();
    found
}

fn replay(recording: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_closewait-doctor"))
        .args(arguments)
        .arg("--from")
        .arg(recording)
        .output()
        .expect("the program runs");
    let answer = String::from_utf8(output.stdout).expect("the answer is text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!answer.is_empty(), "{}: {errors}", recording.display());
    // The version is that of the replaying program.
    answer.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

#[test]
fn every_recording_is_answered_as_it_was() {
    let mut golden = Golden::new();
    let all = recordings();
    assert!(!all.is_empty(), "there are no recordings");
    for recording in &all {
        for (ending, arguments) in ANSWERS {
            golden.compare(
                &recording.with_extension(ending),
                replay(recording, arguments),
            );
        }
    }
    golden.end();
}

#[test]
fn every_finding_has_a_sick_recording_and_a_silent_one() {
    for rule in closewait_doctor::rules::RULES {
        for kind in ["sick.rec", "silent.rec"] {
            let file = folder().join(rule.id).join(kind);
            assert!(file.is_file(), "{} is missing", file.display());
        }
    }
}

#[test]
fn a_sick_recording_has_its_finding_and_a_silent_one_has_not() {
    for recording in recordings() {
        let finding = recording.parent().and_then(Path::file_name);
        let finding = finding.and_then(OsStr::to_str).expect("folders have names");
        let json = replay(&recording, &["scan", "--format", "json"]);
        let has = json.contains(&format!("\"id\": \"{finding}\""));
        match recording.file_stem().and_then(OsStr::to_str) {
            Some("sick") => assert!(has, "{}: no {finding}", recording.display()),
            Some("silent") => assert!(!has, "{}: {finding}", recording.display()),
            _ => {}
        }
    }
}
