//! Runs the program and its peers side by side on the same load and prints medians and ratios.
//!
//! `cargo bench` runs everything; `cargo bench -- leak idle` some of it. Nothing is asserted. The
//! load is made in a private network namespace, by processes that end with the benchmark. What the
//! numbers mean: `benches/README.md`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark reads clocks and prints"
)]

mod compare;
mod floor;
mod load;
mod measure;
mod scenario;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Set in the process that runs inside the private network namespace.
const INSIDE: &str = "CLOSEWAIT_DOCTOR_BENCH_INSIDE";

fn main() -> ExitCode {
    // cargo passes `--bench` to every benchmark.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments.first().map(String::as_str) {
        Some("--hold") => load::hold(&arguments[1..]),
        Some("--floor") => floor::run(&arguments[1..]),
        Some("--measure") => measure::measure_once(&arguments[1..]),
        _ if std::env::var_os(INSIDE).is_none() => enter_namespace(&arguments),
        _ => scenario::run(&arguments),
    }
}

fn enter_namespace(arguments: &[String]) -> ExitCode {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut unshare = Command::new("unshare");
    unshare.arg("--net");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let error = unshare.arg(program).args(arguments).env(INSIDE, "1").exec();
    println!("unshare could not be run: {error}");
    ExitCode::FAILURE
}
