//! The loads, and what is run on each.

use std::process::{Command, ExitCode};

use super::compare::{Contestant, compare, grow, print_growth_header, print_header};
use super::load::Holder;

/// A load and the programs that look at it, ours first.
struct Scenario {
    name: &'static str,
    about: &'static str,
    load: fn() -> Vec<Holder>,
    contestants: fn() -> Vec<Contestant>,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "idle",
        about: "nothing is wrong: the cost of starting",
        load: Vec::new,
        contestants: || vec![Contestant::ours("scan"), Contestant::peer("ss -tanp")],
    },
    Scenario {
        name: "pair",
        about: "2 processes with 10,000 accepted CLOSE_WAIT connections each",
        load: || closed(2),
        contestants: || {
            vec![
                Contestant::ours("scan"),
                Contestant::peer("ss -tanpie state close-wait"),
            ]
        },
    },
    Scenario {
        name: "leak",
        about: "5 processes with 10,000 accepted CLOSE_WAIT connections each, on one port",
        load: || closed(5),
        contestants: || {
            vec![
                Contestant::ours("scan --port 7000"),
                Contestant::peer("ss -tanpie state close-wait sport = :7000"),
                Contestant::peer("lsof -nP -iTCP -sTCP:CLOSE_WAIT"),
                Contestant::floor("7000"),
            ]
        },
    },
    Scenario {
        name: "stall",
        about: "4,000 connections stranded in one queue beside 50,000 healthy sockets of others",
        load: stalled,
        contestants: || {
            vec![
                Contestant::ours("scan --port 7000 --min-age 100ms --observe 0"),
                Contestant::peer("ss -tanpi sport = :7000"),
            ]
        },
    },
    Scenario {
        name: "crowd",
        about: "400 idle processes with 100 descriptors each, and one small leak",
        load: crowd,
        contestants: || vec![Contestant::ours("scan"), Contestant::peer("ss -tanp")],
    },
];

/// The scenario that grows, and the sizes it is run at.
const SCALE: &str = "scale";
const SCALE_SIZES: [usize; 5] = [5_000, 10_000, 20_000, 50_000, 100_000];
/// A process is often limited to 20,000 descriptors.
const CONNECTIONS: usize = 10_000;

/// Runs the named scenarios, or all, each in a network namespace of its own: connections that have ended
/// linger for a minute.
pub(crate) fn run(names: &[String]) -> ExitCode {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    for name in names {
        let known = SCENARIOS.iter().any(|scenario| scenario.name == name);
        assert!(known || name == SCALE, "there is no scenario {name}");
    }
    for scenario in SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        println!("{}: {}", scenario.name, scenario.about);
        print_header();
        enter(&[scenario.name]);
        println!();
    }
    if wanted(SCALE) {
        println!("{SCALE}: the leak, growing");
        print_growth_header();
        for size in SCALE_SIZES {
            enter(&[SCALE, &size.to_string()]);
        }
    }
    ExitCode::SUCCESS
}

/// Says to this program that it runs in the network namespace of a scenario.
pub(crate) const INSIDE: &str = "--inside";

fn enter(arguments: &[&str]) {
    let program = std::env::current_exe().expect("a running program has a path");
    let mut unshare = Command::new("unshare");
    unshare.arg("--net");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let status = unshare.arg(program).arg(INSIDE).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "{arguments:?}");
}

/// Runs one scenario where its load does not meet another's.
pub(crate) fn run_inside(arguments: &[String]) -> ExitCode {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "ip link set lo up"
    );
    if let [_, size] = arguments {
        let sockets = size.parse().expect("a size is a number");
        let _holders = of_size(sockets);
        grow(sockets, &Contestant::ours("scan --port 7000"));
    }
    let named = |scenario: &&Scenario| *arguments == [scenario.name];
    if let Some(scenario) = SCENARIOS.iter().find(named) {
        let _holders = (scenario.load)();
        compare(&(scenario.contestants)());
    }
    ExitCode::SUCCESS
}

fn holder(words: &[&str]) -> Holder {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    Holder::start(&words)
}

fn closed(processes: usize) -> Vec<Holder> {
    of_size(processes * CONNECTIONS)
}

/// Waits until the connections are older than the grace period, and so servers.
fn of_size(sockets: usize) -> Vec<Holder> {
    let connections = CONNECTIONS.min(sockets).to_string();
    let holders = (1..=sockets.div_ceil(CONNECTIONS))
        .map(|process| holder(&["closed", &format!("127.0.0.{process}:7000"), &connections]))
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
