//! The `closewait-doctor` program.

#[cfg(target_os = "linux")]
mod allocator;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    closewait_doctor::cli::run(std::env::args_os()).into()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
