//! Runs the program and its peers side by side on the same load and prints medians and ratios.
//!
//! `cargo bench` runs everything; `cargo bench -- leak idle` some of it. Nothing is asserted. The
//! load is made in a network namespace of its own each time, by processes that end with the benchmark. What the
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

use std::process::ExitCode;

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
        Some(scenario::INSIDE) => scenario::run_inside(&arguments[1..]),
        _ => scenario::run(&arguments),
    }
}
