//! Texts as people paste them, and what is read from each.
//!
//! `UPDATE_GOLDEN=1 cargo test --test pasted` rewrites the `.json` beside each text; the difference is to be read before it
//! is committed.

#![expect(
    clippy::disallowed_methods,
    reason = "the texts are files, and the program is run on them"
)]

mod golden;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use golden::Golden;
use serde_json::{Value, json};

fn texts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/text/pasted");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let mut texts: Vec<PathBuf> = files
        .map(|file| file.expect("it can be read").path())
        .filter(|file| file.extension() == Some(OsStr::new("txt")))
        .collect();
    texts.sort();
    texts
}

/// What is read from a text, or why it is refused.
fn read(text: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_closewait-doctor"))
        .args(["scan", "--format", "json", "--from"])
        .arg(text)
        .output()
        .expect("the program runs");
    if output.status.code() == Some(3) {
        let error = String::from_utf8(output.stderr).expect("an error is text");
        let (_, reason) = error
            .trim()
            .split_once(".txt: ")
            .expect("it names the file");
        return json!({ "refused": reason });
    }
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    json!({
        "verdict": report["summary"]["verdict"],
        "close_wait": report["summary"]["close_wait"],
        "queues": queues(&report),
        "owners": owners(&report),
        "unread": unread(&report),
    })
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Accept queues that are not empty, and their limits.
fn queues(report: &Value) -> Value {
    items(&report["listeners"])
        .map(|listener| (listener, &listener["accept_queue"]))
        .filter(|(_, queue)| queue["length"].as_u64() > Some(0))
        .map(|(listener, queue)| json!([listener["local"], queue["length"], queue["limit"]]))
        .collect()
}

fn owners(report: &Value) -> BTreeSet<String> {
    let sockets = items(&report["listeners"]).chain(items(&report["connections"]));
    sockets
        .flat_map(|socket| items(&socket["owners"]))
        .map(|owner| {
            let command = owner["command"].as_str().unwrap_or_default();
            format!("{command}[{}]", owner["pid"])
        })
        .collect()
}

/// The numbers of lines, rows and tables that are said to be unread.
fn unread(report: &Value) -> Vec<&str> {
    items(&report["blind_spots"])
        .filter_map(|spot| spot["what"].as_str())
        .filter(|what| what.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

#[test]
fn every_text_is_read_as_it_was() {
    let texts = texts();
    assert!(!texts.is_empty(), "there are no texts");
    let mut golden = Golden::new();
    for text in &texts {
        golden.compare(&text.with_extension("json"), format!("{:#}\n", read(text)));
    }
    golden.end();
}

#[test]
fn no_text_with_a_connection_in_close_wait_is_healthy() {
    for text in texts() {
        let answer = read(&text);
        let total = answer["close_wait"]["total"].as_u64().unwrap_or(0);
        assert!(
            total == 0 || answer["verdict"] != "healthy",
            "{}",
            text.display()
        );
    }
}
