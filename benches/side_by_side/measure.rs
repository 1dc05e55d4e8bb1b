//! One run of one command, and medians of many.

use std::fs::File;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::{Value, json};

/// What a command cost.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Wall time, milliseconds.
    pub(crate) wall: f64,
    /// Time in user space, milliseconds.
    pub(crate) user: f64,
    /// Time in the kernel, milliseconds.
    pub(crate) system: f64,
    /// Peak resident memory, MiB.
    pub(crate) peak: f64,
}

impl Cost {
    /// Time of processors, milliseconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// Runs a command in a process of its own, so that its peak memory is its own.
pub(crate) fn run(command: &[String]) -> Cost {
    let program = std::env::current_exe().expect("a running program has a path");
    let output = Command::new(program)
        .arg("--measure")
        .args(command)
        .stderr(Stdio::inherit())
        .output()
        .expect("the benchmark can start itself");
    let cost: Value = serde_json::from_slice(&output.stdout).expect("it prints its costs");
    let number = |name: &str| cost[name].as_f64().expect("a cost is a number");
    Cost {
        wall: number("wall"),
        user: number("user"),
        system: number("system"),
        peak: number("peak"),
    }
}

/// Runs one command, its output to a file, and prints what it cost.
pub(crate) fn measure_once(command: &[String]) -> ExitCode {
    let file = tempfile::tempfile().expect("a temporary file");
    let started = Instant::now();
    let status = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::from(file))
        .stderr(File::create("/dev/null").expect("there is /dev/null"))
        .status()
        .expect("the command can be run");
    let wall = started.elapsed().as_secs_f64() * 1000.0;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a process knows its usage");
    let millis = |time: nix::sys::time::TimeVal| {
        1000.0 * Duration::from_micros(time.num_microseconds().unsigned_abs()).as_secs_f64()
    };
    let kibibytes = u32::try_from(usage.max_rss()).expect("no command takes 4 TiB");
    assert!(status.code().is_some(), "{} was killed", command[0]);
    println!(
        "{}",
        json!({
            "wall": wall,
            "user": millis(usage.user_time()),
            "system": millis(usage.system_time()),
            "peak": f64::from(kibibytes) / 1024.0,
        })
    );
    ExitCode::SUCCESS
}

/// The median of each cost.
pub(crate) fn median(runs: &[Cost]) -> Cost {
    let of = |cost: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(cost).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Cost {
        wall: of(|cost| cost.wall),
        user: of(|cost| cost.user),
        system: of(|cost| cost.system),
        peak: of(|cost| cost.peak),
    }
}
