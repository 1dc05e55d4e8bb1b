//! What people type, and what they see first.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    SHORT_GRACE, connect_many, doctor, doctor_command, in_private_network, items, outlast,
    start_server, wait_for_queue, wait_until,
};

/// Enough to be a disease.
const CLIENTS: usize = 5;

fn look_at_stuck_server(look: impl Fn(u32)) {
    let server = start_server(&["never-accepts"]);
    let _clients = connect_many(CLIENTS);
    wait_for_queue(CLIENTS as u64);
    outlast(SHORT_GRACE);
    look(server.pid());
}

fn output(arguments: &[&str]) -> String {
    let run = doctor(arguments);
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
    String::from_utf8(run.stdout).expect("it prints text")
}

#[test]
fn a_server_is_found_by_port_address_and_name() {
    in_private_network(|| {
        look_at_stuck_server(|pid| {
            for target in ["8080", ":8080", "127.0.0.1:8080", "8080-8081", "server"] {
                let report = doctor(&["scan", target, "-j", "--min-age", "300ms"]).report();
                let findings: Vec<_> = items(&report["findings"]).collect();
                assert_eq!(findings.len(), 1, "{target}: {findings:#?}");
                assert_eq!(findings[0]["subject"]["pids"][0], pid, "{target}");
                assert_eq!(items(&report["absent"]).count(), 0, "{target}");
            }
        });
    });
}

#[test]
fn what_is_not_there_is_said_with_what_is_near() {
    in_private_network(|| {
        look_at_stuck_server(|_| {
            for (target, told) in [
                ("127.0.0.2:8080", "nothing listens on 127.0.0.2:8080"),
                ("8081", "nothing listens on port 8081"),
                ("servre", "no process or unit called servre"),
            ] {
                let table = output(&["scan", target]);
                let first = table.lines().next().unwrap_or_default();
                assert!(
                    first.starts_with("NOT THERE") && first.contains(told),
                    "{table}"
                );
                let report = doctor(&["scan", target, "--json"]).report();
                assert_eq!(report["summary"]["verdict"], "unknown");
                assert_eq!(items(&report["findings"]).count(), 0);
            }
            assert!(output(&["scan", "servre"]).contains("the nearest names are server"));
        });
    });
}

#[test]
fn the_first_line_has_verdict_place_program_number_and_age() {
    in_private_network(|| {
        look_at_stuck_server(|_| {
            let table = output(&["scan", "--min-age", "300ms"]);
            let first = table.lines().next().unwrap_or_default();
            assert!(
                first.starts_with("CRITICAL  127.0.0.1:8080 server: 5 connections wait"),
                "{first}"
            );
            assert!(first.contains("; the oldest for "), "{first}");
            assert_eq!(
                output(&["scan", "-q", "--min-age", "300ms"])
                    .lines()
                    .count(),
                1
            );
            let brief = output(&["scan", "--brief", "--min-age", "300ms"]);
            assert!(
                brief.starts_with("CRITICAL  acceptor-busy  127.0.0.1:8080"),
                "{brief}"
            );
            assert_eq!(brief.lines().count(), 1);
        });
    });
}

#[test]
fn processes_are_described() {
    in_private_network(|| {
        look_at_stuck_server(|pid| {
            let report = doctor(&["scan", "8080", "-j", "--min-age", "300ms"]).report();
            let mut processes = items(&report["processes"]);
            let process = processes
                .find(|one| one["pid"] == pid)
                .expect("it is shown");
            assert!(process["uid"].is_u64(), "{process:#}");
            assert!(process["running_ms"].is_u64(), "{process:#}");
            let table = output(&["scan", "8080", "-v", "--min-age", "300ms"]);
            let who = format!("server[{pid}]: u");
            assert!(
                table.contains(&who) && table.contains("runs for"),
                "{table}"
            );
        });
    });
}

/// The handler of SIGINT is installed (`SigCgt`, bit 2 - 1).
fn catches_interrupts(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & (1 << 1) != 0)
}

#[test]
fn a_look_that_is_interrupted_reports_what_it_has() {
    in_private_network(|| {
        look_at_stuck_server(|_| {
            let look = doctor_command(&["scan", "8080", "--min-age", "300ms", "--observe", "1h"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the doctor is built");
            wait_until("it watches", || catches_interrupts(look.id()));
            let pid = i32::try_from(look.id())
                .ok()
                .and_then(Pid::from_raw)
                .expect("a process id");
            kill_process(pid, Signal::INT).expect("it is our child");
            let output = look.wait_with_output().expect("it is our child");
            let table = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(130), "{table}");
            assert!(
                table
                    .lines()
                    .next()
                    .is_some_and(|line| line.contains("partial")),
                "{table}"
            );
            assert!(table.contains("it was interrupted"), "{table}");
            // Nothing is shown of the wait where standard error is no terminal.
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        });
    });
}
