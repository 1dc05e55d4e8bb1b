//! Programs in turn on the same load, and a table of what they cost.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::measure::{Cost, median, run};

/// Every program is run this often, in turn with the others, after one run that does not count.
const ROUNDS: usize = 7;

/// A program and how it is called.
pub(crate) struct Contestant {
    label: String,
    words: Vec<String>,
}

impl Contestant {
    /// The program that is built here.
    pub(crate) fn ours(arguments: &str) -> Self {
        Self::new(
            "closewait-doctor",
            env!("CARGO_BIN_EXE_closewait-doctor"),
            arguments,
        )
    }

    /// A program that others wrote.
    pub(crate) fn peer(command: &str) -> Self {
        let (program, arguments) = command.split_once(' ').unwrap_or((command, ""));
        Self::new(program, program, arguments)
    }

    /// The least that has to be asked.
    pub(crate) fn floor(ports: &str) -> Self {
        let program = std::env::current_exe().expect("a running program has a path");
        let program = program.to_str().expect("cargo gives it a plain path");
        Self::new("floor", program, &format!("--floor {ports}"))
    }

    fn new(name: &str, program: &str, arguments: &str) -> Self {
        let words = arguments.split_whitespace().map(str::to_owned);
        Self {
            label: format!("{name} {arguments}"),
            words: std::iter::once(program.to_owned()).chain(words).collect(),
        }
    }

    fn output(&self, more: &[&str]) -> String {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(more);
        let output = command.output().expect("it runs");
        String::from_utf8(output.stdout).expect("it prints text")
    }
}

/// Runs all in turn and prints medians, and ours in relation to each.
pub(crate) fn compare(contestants: &[Contestant]) {
    let mut runs: Vec<Vec<Cost>> = vec![Vec::new(); contestants.len()];
    for round in 0..=ROUNDS {
        for (contestant, runs) in contestants.iter().zip(&mut runs) {
            let cost = run(&contestant.words);
            if round > 0 {
                runs.push(cost);
            }
        }
    }
    let medians: Vec<Cost> = runs.iter().map(|runs| median(runs)).collect();
    let ours = &medians[0];
    for (contestant, cost) in contestants.iter().zip(&medians) {
        println!(
            "  {:>11.1} {:>9.1} {:>10.1} {:>9.1} {:>12.3} {:>10.3}   {}",
            cost.wall,
            cost.user,
            cost.system,
            cost.peak,
            ours.wall / cost.wall,
            ours.cpu() / cost.cpu(),
            contestant.label
        );
    }
    tell_totals(&contestants[0]);
}

/// Runs one program on a load of this size.
pub(crate) fn grow(size: usize, contestant: &Contestant) {
    let mut runs: Vec<Cost> = (0..=ROUNDS).map(|_| run(&contestant.words)).collect();
    runs.remove(0);
    let cost = median(&runs);
    let sockets = f64::from(u32::try_from(size).expect("a load that fits a machine"));
    println!(
        "  {size:>11} {:>9.1} {:>9.1} {:>10.1} {:>9.1} {:>16.2} {:>14.2}   {}",
        cost.wall,
        cost.user,
        cost.system,
        cost.peak,
        1000.0 * cost.wall / sockets,
        1000.0 * cost.cpu() / sockets,
        contestant.label
    );
    tell_totals(contestant);
}

pub(crate) fn print_header() {
    println!("      wall ms   user ms  system ms  peak MiB   wall ratio  cpu ratio");
}

pub(crate) fn print_growth_header() {
    println!(
        "      sockets   wall ms   user ms  system ms  peak MiB   wall us/socket  cpu us/socket"
    );
}

/// What is fast has to be right as well: connections in `CLOSE_WAIT` in JSON, in the table, and by `ss`;
/// and how many wait to be accepted.
fn tell_totals(ours: &Contestant) {
    let port = ours.words.iter().any(|word| word == "7000");
    let json: Value =
        serde_json::from_str(&ours.output(&["--format", "json"])).expect("it prints JSON");
    let summary = json["summary"]["close_wait"]["total"].as_u64();
    let listed = json["connections"].as_array().map(|all| {
        let closed = all
            .iter()
            .filter(|connection| connection["state"] == "CLOSE_WAIT");
        closed.count() as u64
    });
    let waiting: u64 = json["listeners"].as_array().map_or(0, |listeners| {
        let lengths = listeners
            .iter()
            .map(|one| one["accept_queue"]["length"].as_u64());
        lengths.flatten().sum()
    });
    let filter: &[&str] = if port { &["sport", "=", ":7000"] } else { &[] };
    let close_wait = Contestant::peer("ss -Htan state close-wait").output(filter);
    let close_wait = close_wait.lines().count() as u64;
    let queues = Contestant::peer("ss -Hltn").output(filter);
    let in_queues: u64 = queues
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    let table = table_total(&ours.output(&[]));
    let close_waits = BTreeSet::from([summary, listed, Some(close_wait), table]);
    let same = close_waits.len() == 1 && waiting == in_queues;
    println!(
        "  {}: CLOSE_WAIT {close_wait} by ss, {} in JSON, {} in the table; waiting {in_queues} by ss, {waiting} in JSON",
        if same { "equal" } else { "NOT EQUAL" },
        summary.map_or("?".to_owned(), |total| total.to_string()),
        table.map_or("?".to_owned(), |total| total.to_string()),
    );
}

/// The connections in `CLOSE_WAIT` of the groups that the table lists.
fn table_total(table: &str) -> Option<u64> {
    let mut total = 0;
    let header = |line: &&str| !line.starts_with("NUMBER ");
    for line in table.lines().skip_while(header).skip(1) {
        let mut words = line.split_whitespace();
        let number = words.next();
        if words.next() == Some("CLOSE_WAIT") {
            total += number?.parse::<u64>().ok()?;
        }
    }
    Some(total)
}
