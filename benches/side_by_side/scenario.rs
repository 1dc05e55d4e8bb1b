//! The loads, and what is run on each.

use std::process::{Command, ExitCode};

use super::load::Holder;
use super::measure::{Cost, median, run as run_once};

/// Every command is run this often, in turn with the others, after one run that does not count.
const ROUNDS: usize = 7;

/// A load and the commands that look at it, ours first.
struct Scenario {
    name: &'static str,
    about: &'static str,
    load: fn() -> Vec<Holder>,
    commands: fn(&str) -> Vec<String>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "idle",
        about: "nothing is wrong: the cost of starting",
        load: Vec::new,
        commands: |ours| vec![format!("{ours} scan"), "ss -tanp".to_owned()],
    },
    Scenario {
        name: "pair",
        about: "2 processes with 10,000 accepted CLOSE_WAIT connections each",
        load: || closed(2, 10_000),
        commands: |ours| {
            vec![
                format!("{ours} scan"),
                "ss -tanpie state close-wait".to_owned(),
            ]
        },
    },
    Scenario {
        name: "leak",
        about: "5 processes with 10,000 accepted CLOSE_WAIT connections each, on one port",
        load: || closed(5, 10_000),
        commands: |ours| {
            vec![
                format!("{ours} scan --port 7000"),
                "ss -tanpie state close-wait sport = :7000".to_owned(),
                "lsof -nP -iTCP -sTCP:CLOSE_WAIT".to_owned(),
            ]
        },
    },
    Scenario {
        name: "stall",
        about: "4,000 connections stranded in one queue beside 50,000 healthy sockets of others",
        load: stalled,
        commands: |ours| {
            vec![
                format!("{ours} scan --port 7000 --min-age 100ms --observe 0"),
                "ss -tanpi sport = :7000".to_owned(),
            ]
        },
    },
    Scenario {
        name: "crowd",
        about: "400 idle processes with 100 descriptors each, and one small leak",
        load: crowd,
        commands: |ours| vec![format!("{ours} scan"), "ss -tanp".to_owned()],
    },
];

/// Runs the named scenarios, or all.
pub(crate) fn run(names: &[String]) -> ExitCode {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "ip link set lo up"
    );
    let ours = env!("CARGO_BIN_EXE_closewait-doctor");
    for scenario in SCENARIOS {
        if names.is_empty() || names.iter().any(|name| name == scenario.name) {
            println!("{}: {}", scenario.name, scenario.about);
            let holders = (scenario.load)();
            compare(&(scenario.commands)(ours));
            drop(holders);
        }
    }
    ExitCode::SUCCESS
}

fn compare(commands: &[String]) {
    let words = |command: &String| command.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut runs: Vec<Vec<Cost>> = vec![Vec::new(); commands.len()];
    for round in 0..=ROUNDS {
        for (command, runs) in commands.iter().zip(&mut runs) {
            let cost = run_once(&words(command));
            if round > 0 {
                runs.push(cost);
            }
        }
    }
    let medians: Vec<Cost> = runs.iter().map(|runs| median(runs)).collect();
    println!("      wall ms   user ms  system ms  peak MiB   wall ratio  cpu ratio");
    for (command, cost) in commands.iter().zip(&medians) {
        let ours = &medians[0];
        println!(
            "  {:>11.1} {:>9.1} {:>10.1} {:>9.1} {:>12.2} {:>10.2}   {}",
            cost.wall,
            cost.user,
            cost.system,
            cost.peak,
            ours.wall / cost.wall,
            (ours.user + ours.system) / (cost.user + cost.system),
            short(command)
        );
    }
    println!();
}

/// The program by its name, not by its path.
fn short(command: &str) -> String {
    let (program, rest) = command.split_once(' ').unwrap_or((command, ""));
    let name = program.rsplit('/').next().unwrap_or(program);
    format!("{name} {rest}")
}

fn holder(words: &[&str]) -> Holder {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    Holder::start(&words)
}

/// Waits until the connections are older than the grace period, and so patients.
fn closed(processes: usize, connections: usize) -> Vec<Holder> {
    let holders = (1..=processes)
        .map(|process| {
            holder(&[
                "closed",
                &format!("127.0.0.{process}:7000"),
                &connections.to_string(),
            ])
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_secs(4));
    holders
}

fn stalled() -> Vec<Holder> {
    let somaxconn = "/proc/sys/net/core/somaxconn";
    std::fs::write(somaxconn, "8192").expect("the namespace's own setting can be set");
    let mut holders = vec![holder(&["stalled", "127.0.0.1:7000", "4000"])];
    holders
        .extend((2..7).map(|process| {
            holder(&["open", &format!("127.0.0.{process}:80{process:02}"), "5000"])
        }));
    std::thread::sleep(std::time::Duration::from_millis(200));
    holders
}

fn crowd() -> Vec<Holder> {
    let mut holders: Vec<Holder> = (0..400).map(|_| holder(&["files", "100"])).collect();
    holders.push(holder(&["closed", "127.0.0.1:7000", "50"]));
    std::thread::sleep(std::time::Duration::from_secs(3));
    holders
}
