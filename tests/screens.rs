//! The six situations on a terminal of 80 columns and 24 lines, kept as files that a person can read.
//!
//! `UPDATE_GOLDEN=1 cargo test --test screens` rewrites them; the difference is to be read before it is committed.
#![expect(
    clippy::disallowed_methods,
    reason = "recordings and screens are files, and the environment says whether to write them"
)]

use std::fs::File;
use std::path::{Path, PathBuf};

use closewait_doctor::collect::kernel::RecordedKernel;
use closewait_doctor::look::{self, LookOptions};
use closewait_doctor::render::{self, TableOptions};

const COLUMNS: u16 = 80;
const LINES: u16 = 24;

/// The screen, the recording it is made of, and how it begins.
const SCREENS: [(&str, &str, &str); 7] = [
    (
        "incident",
        "recordings/edge-triggered-stall/sick",
        "CRITICAL  127.0.0.1:8080 server: ",
    ),
    (
        "server-stopped",
        "recordings/acceptor-stopped/sick",
        "CRITICAL  127.0.0.1:8080 ",
    ),
    (
        "forty-workers",
        "recordings/incidents/php-fpm-children-backend-silent",
        "CRITICAL  127.0.0.1:9900 php-fpm8.2: ",
    ),
    (
        "leak",
        "recordings/unclosed-after-eof/sick",
        "WARNING  127.0.0.1:8080 server: ",
    ),
    ("healthy", "recordings/dead-descriptor/silent", "HEALTHY  "),
    (
        "nothing-there",
        "screens/nothing-there",
        "NOT THERE  nothing listens on port 9",
    ),
    (
        "no-privileges",
        "recordings/accept-queue-stranded/sick",
        "CRITICAL  ",
    ),
];

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

fn screen(recording: &str) -> String {
    let recording = file(&format!("{recording}.rec"));
    let recording = File::open(recording).expect("the recording is there");
    let mut kernel = RecordedKernel::read_from(recording).expect("it is a recording");
    let options = LookOptions::of_recording(kernel.header());
    // As a look at the kernel is shown: without where it comes from.
    let report = look::take(&mut kernel, &options)
        .expect("it can be replayed")
        .report("2026-01-31T12:00:00Z");
    let options = TableOptions {
        width: Some(COLUMNS),
        height: Some(LINES),
        ..TableOptions::default()
    };
    let mut bytes = Vec::new();
    render::write_table(&report, options, &mut bytes).expect("memory can be written");
    let text = String::from_utf8(bytes).expect("it is text");
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn each_situation_fits_one_screen() {
    for (name, recording, begins) in SCREENS {
        let text = screen(recording);
        let golden = file(&format!("screens/{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).expect("the folder can be written");
        }
        assert_eq!(
            std::fs::read_to_string(&golden).ok(),
            Some(text.clone()),
            "{name}"
        );
        assert!(text.starts_with(begins), "{name}:\n{text}");
        // The prompt takes a line.
        assert!(text.lines().count() < usize::from(LINES), "{name}:\n{text}");
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(usize::from(COLUMNS)), "{name}:\n{text}");
    }
}

#[test]
fn a_report_that_is_longer_than_the_screen_ends_with_its_first_line() {
    let recording = file("recordings/edge-triggered-stall/sick.rec");
    let mut kernel = RecordedKernel::read_from(File::open(recording).expect("it is there"))
        .expect("it is a recording");
    let options = LookOptions::of_recording(kernel.header());
    let report = look::take(&mut kernel, &options)
        .expect("it can be replayed")
        .report("2026-01-31T12:00:00Z");
    let options = TableOptions {
        width: Some(40),
        height: Some(12),
        ..TableOptions::default()
    };
    let mut bytes = Vec::new();
    render::write_table(&report, options, &mut bytes).expect("memory can be written");
    let text = String::from_utf8(bytes).expect("it is text");
    let first = text.lines().next().expect("it has lines");
    assert_eq!(
        text.lines().filter(|line| *line == first).count(),
        2,
        "{text}"
    );
}
