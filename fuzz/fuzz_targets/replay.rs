//! The whole way from the lines of a recording to the answer, in both formats. It prints: run it with
//! `-close_fd_mask=3`.
#![no_main]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use closewait_doctor::cli;
use closewait_doctor::collect::kernel::RecordedKernel;
use closewait_doctor_fuzz::pack;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: &[u8]| {
    let recording = pack(&with_end(lines));
    if RecordedKernel::read_from(&recording[..]).is_err() {
        return;
    }
    let file = scratch_file();
    fs::write(&file, &recording).expect("there is room for temporary files");
    for format in ["table", "json"] {
        scan(&file, format);
    }
});

/// Corrects the last line, which counts the entries: no fuzzer guesses it.
fn with_end(lines: &[u8]) -> Vec<u8> {
    let is_content = |line: &&[u8]| !line.is_empty() && !line.starts_with(br#"{"end":"#);
    let content: Vec<&[u8]> = lines
        .split(|byte| *byte == b'\n')
        .filter(is_content)
        .collect();
    let mut corrected = content.join(&b'\n');
    let entries = content.len().saturating_sub(1);
    corrected.extend(format!("\n{{\"end\":{entries}}}\n").bytes());
    corrected
}

fn scratch_file() -> PathBuf {
    let name = format!("closewait-doctor-fuzz-{}", std::process::id());
    std::env::temp_dir().join(name)
}

fn scan(file: &Path, format: &str) {
    let words = [
        "closewait-doctor",
        "scan",
        "-v",
        "--format",
        format,
        "--from",
    ];
    let arguments = words.iter().map(OsString::from).chain([file.into()]);
    cli::run(arguments);
}
