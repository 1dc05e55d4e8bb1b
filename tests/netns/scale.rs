//! Neighbours that are large on purpose: memory is bounded, and what was cut is said.
//!
//! `CLOSEWAIT_DOCTOR_SOAK=1` makes them as large as the figures in `benches/README.md`.

use std::process::Command;

use serde_json::Value;

use crate::relieve::stick;
use crate::support::{
    Program, Report, Run, have, have_root, in_private_network, items, run, start_server,
    tell_figure,
};

/// What the program may take, with its own image: 1 GB of addresses.
const MOST_ADDRESSES: &str = "--as=1000000000";

fn is_soak() -> bool {
    std::env::var_os("CLOSEWAIT_DOCTOR_SOAK").is_some_and(|value| value == "1")
}

fn python(script: &str, arguments: &[usize]) -> Program {
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    command.args(arguments.iter().map(usize::to_string));
    let server = Program::start(&mut command);
    server.wait_for_line("ready");
    server
}

/// A look within a bound of memory.
fn look(arguments: &[&str]) -> Run {
    let mut limited = Command::new("prlimit");
    limited.args([MOST_ADDRESSES, "--", env!("CARGO_BIN_EXE_closewait-doctor")]);
    let run = run(limited.args(arguments));
    tell_figure(&format!(
        "{} took {:?}",
        arguments[0],
        run.ended.duration_since(run.started)
    ));
    run
}

fn scan() -> Report {
    look(&[
        "scan",
        "--port",
        "8080",
        "--min-age",
        "300ms",
        "--format",
        "json",
    ])
    .report()
}

fn blind_spots(report: &Report) -> Vec<&Value> {
    items(&report["blind_spots"]).collect()
}

/// Epoll sets that each hold the listener and many descriptors of one pipe.
const SETS: &str = "
import os, resource, select, socket, sys, time
sets, members = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
listener = socket.create_server(('127.0.0.1', 8080))
read, write = os.pipe()
numbers = [os.dup(read) for _ in range(members)]
all = []
for _ in range(sets):
    one = select.epoll()
    one.register(listener, select.EPOLLIN)
    for number in numbers:
        one.register(number, select.EPOLLIN)
    all.append(one)
print('ready', flush=True)
time.sleep(600)
";

#[test]
fn thousands_of_sets_with_thousands_of_members_are_read_up_to_a_share() {
    in_private_network(|| {
        if !have_root() || !have("python3") {
            return;
        }
        let size = if is_soak() { [2000, 2000] } else { [600, 1000] };
        let _server = python(SETS, &size);
        let _clients = crate::support::connect_many(3);
        crate::support::outlast(crate::support::SHORT_GRACE);
        let report = scan();
        assert_ne!(
            report["summary"]["verdict"],
            "healthy",
            "{:#}",
            report.json()
        );
        assert!(!blind_spots(&report).is_empty(), "{:#}", report.json());
        let check = look(&["check", "--port", "8080", "--min-age", "300ms"]);
        assert!(
            matches!(check.status.code(), Some(1..=3)),
            "{}",
            check.stderr
        );
    });
}

/// Many descriptors, threads, locks and nested sets beside a stuck listener of somebody else.
const NEIGHBOUR: &str = "
import fcntl, os, resource, select, socket, struct, sys, threading, time
descriptors, threads, locks = map(int, sys.argv[1:4])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
descriptors = min(descriptors, hard - 100)
held = [socket.socket() for _ in range(descriptors // 2)]
held += [open('/dev/null') for _ in range(descriptors - descriptors // 2 - 20)]
inner = select.epoll()
for _ in range(4):
    outer = select.epoll()
    outer.register(inner, select.EPOLLIN)
    held.append(inner)
    inner = outer
threading.stack_size(64 * 1024)
gate = threading.Event()
for _ in range(threads):
    threading.Thread(target=gate.wait, daemon=True).start()
file = open('/dev/shm/closewait-doctor-test-locks-%d' % os.getpid(), 'w+')
os.unlink(file.name)
F_OFD_SETLK = 37
for at in range(locks):
    fcntl.fcntl(file, F_OFD_SETLK, struct.pack('hhqqixxxx', fcntl.F_WRLCK, 0, 2 * at, 1, 0))
print('ready', flush=True)
time.sleep(600)
";

#[test]
fn a_large_neighbour_hides_no_stuck_listener() {
    in_private_network(|| {
        if !have_root() || !have("python3") {
            return;
        }
        let size = if is_soak() {
            [20_000, 10_000, 20_000]
        } else {
            [10_000, 500, 2_000]
        };
        let _neighbour = python(NEIGHBOUR, &size);
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let report = scan();
        report.only("edge-triggered-stall");
    });
}

/// Processes that each hold the listener.
const PROCESSES: &str = "
import os, socket, sys, time
listener = socket.create_server(('127.0.0.1', 8080))
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(600)
print('ready', flush=True)
time.sleep(600)
";

#[test]
fn a_listener_that_many_processes_hold_is_one_finding() {
    in_private_network(|| {
        if !have_root() || !have("python3") {
            return;
        }
        let size = if is_soak() { 3000 } else { 150 };
        let _server = python(PROCESSES, &[size]);
        let _clients = crate::support::connect_many(3);
        crate::support::outlast(crate::support::SHORT_GRACE);
        let run = look(&[
            "scan",
            "--port",
            "8080",
            "--min-age",
            "300ms",
            "--format",
            "json",
        ]);
        assert!(run.stdout.len() < 64 << 20, "{} bytes", run.stdout.len());
        let report = run.report();
        assert_ne!(report["summary"]["verdict"], "healthy");
        assert_eq!(report.above_info().len(), 1, "{:#}", report["findings"]);
    });
}
