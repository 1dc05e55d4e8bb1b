//! The `closewait-doctor` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    closewait_doctor::cli::run(std::env::args_os()).into()
}
