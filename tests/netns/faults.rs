//! Failing machines: a call that fails once, limits that are too small, a host without `/proc`, with processes hidden, with
//! nothing to write to. The host is sick: there is no panic, nothing hangs, and no run says that all is well.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::privileges::doctor_for_everybody;
use crate::relieve::stick;
use crate::support::{Run, have, have_root, in_private_network, run, start_server, tell_figure};

const DOCTOR: &str = env!("CARGO_BIN_EXE_closewait-doctor");

const CHECK: &[&str] = &["check", "--port", "8080", "--min-age", "300ms"];
const SCAN: &[&str] = &[
    "scan",
    "--port",
    "8080",
    "--min-age",
    "300ms",
    "--format",
    "json",
];
const RECORD: &[&str] = &["record", "--port", "8080", "-o", "/dev/null"];
const PROBE: &[&str] = &["probe", "--port", "8080", "--timeout", "200ms"];
const RELIEVE: &[&str] = &[
    "relieve",
    "--port",
    "8080",
    "--min-age",
    "300ms",
    "--state",
    "/proc/none",
];

/// What a call may fail with at any time.
const ERRORS: [&str; 2] = ["ENOMEM", "EACCES"];

/// Calls that do not fail, or whose failure is not the program's to handle.
const NOT_INJECTED: [&str; 25] = [
    "execve",
    "exit",
    "exit_group",
    "brk",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "munmap",
    "futex",
    "rt_sigreturn",
    "sched_yield",
    "restart_syscall",
    "close",
    "getpid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "uname",
    // Without random numbers the standard library makes no hash map.
    "getrandom",
    "clock_nanosleep",
    "rt_sigaction",
    "rt_sigprocmask",
];

/// How many calls of each kind the main thread makes.
fn count_calls(arguments: &[&str]) -> BTreeMap<String, usize> {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let trace = folder.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o"]).arg(&trace).arg(DOCTOR);
    run(strace.args(arguments));
    let text = std::fs::read_to_string(&trace).expect("strace wrote it");
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, _)) = line.split_once('(') {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// Which calls of a kind fail: a few of them, or each where that is asked for.
fn positions(first: usize, last: usize) -> Vec<usize> {
    if std::env::var_os("CLOSEWAIT_DOCTOR_SOAK").is_some_and(|value| value == "1") {
        return (first..=last).collect();
    }
    let mut some = vec![first, first.midpoint(last)];
    some.dedup();
    some
}

/// What a run did that no run may do.
fn harm(run: &Run, arguments: &[&str], what: &str) -> Option<String> {
    let code = run.status.code();
    let harm = if run.status.signal().is_some() || run.stderr.contains("panicked") {
        "it crashed"
    } else if code.is_none_or(|code| code > 3) {
        "no such exit code"
    } else if code == Some(0) && is_all_clear(run, arguments, what) {
        "all is well"
    } else {
        return None;
    };
    let status = run.status;
    Some(format!(
        "{arguments:?}, {what}: {harm}, {status:?}\n{}",
        run.stderr
    ))
}

fn is_all_clear(run: &Run, arguments: &[&str], what: &str) -> bool {
    match arguments[0] {
        "check" => true,
        // Without a standard output nothing is said.
        "scan" if !what.contains(">&-") => run.report()["summary"]["verdict"] == "healthy",
        _ => false,
    }
}

/// Lets each kind of call of a command fail once, at several places.
fn assert_survives_faults(arguments: &[&str]) {
    if !have("strace") {
        return;
    }
    let server = start_server(&["stall"]);
    let _clients = stick(&server, 4);
    // What the loader and the language need to start is not ours.
    let startup = count_calls(&["--version"]);
    let (mut faults, mut wrong) = (0, Vec::new());
    for (number, (call, count)) in count_calls(arguments).into_iter().enumerate() {
        if NOT_INJECTED.contains(&call.as_str()) {
            continue;
        }
        let before = startup.get(&call).copied().unwrap_or(0);
        let first = if call == "write" { 1 } else { before + 1 };
        if first > count {
            continue;
        }
        for position in positions(first, count) {
            let error = ERRORS[(number + position) % ERRORS.len()];
            let fault = format!("inject={call}:error={error}:when={position}");
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &fault, DOCTOR]);
            wrong.extend(harm(&run(strace.args(arguments)), arguments, &fault));
            faults += 1;
        }
    }
    assert!(faults > 10, "only {faults} faults");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    tell_figure(&format!("{}: {faults} faults", arguments[0]));
}

#[test]
fn a_failing_call_of_check_is_never_an_all_clear() {
    in_private_network(|| assert_survives_faults(CHECK));
}

#[test]
fn a_failing_call_of_scan_is_never_an_all_clear() {
    in_private_network(|| assert_survives_faults(SCAN));
}

#[test]
fn a_failing_call_of_record_is_no_crash() {
    in_private_network(|| assert_survives_faults(RECORD));
}

#[test]
fn a_failing_call_of_probe_is_no_crash() {
    in_private_network(|| assert_survives_faults(PROBE));
}

#[test]
fn a_failing_call_of_a_plan_is_no_crash() {
    in_private_network(|| assert_survives_faults(RELIEVE));
}

/// Runs a command in a shell that first makes the machine worse.
fn under(conditions: &str, arguments: &[&str]) -> Run {
    let script = format!("{conditions} exec \"$0\" \"$@\"");
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", &script, DOCTOR]);
    run(shell.args(arguments))
}

#[test]
fn a_machine_that_gives_nothing_is_never_healthy() {
    in_private_network(|| {
        if !have_root() {
            return;
        }
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        for conditions in [
            "ulimit -n 8;",
            "ulimit -v 64000;",
            "ulimit -v 40000;",
            "exec >/dev/full;",
            "mount -t tmpfs none /proc;",
            "mount -t proc -o hidepid=2 proc /proc;",
            "mount --make-rprivate /; mount -o remount,bind,ro /;",
            "exec <&-;",
            "exec >&-;",
            "exec 2>&-;",
            "exec <&- >&- 2>&-;",
        ] {
            for arguments in [CHECK, SCAN, RECORD, PROBE, RELIEVE] {
                let run = under(conditions, arguments);
                assert_eq!(harm(&run, arguments, conditions), None);
            }
        }
    });
}

#[test]
fn memory_that_is_refused_ends_with_a_sentence() {
    in_private_network(|| {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let text = folder.path().join("text");
        let row = "CLOSE-WAIT 1 0 127.0.0.1:8080 127.0.0.1:40000\n";
        std::fs::write(&text, row.repeat(400_000)).expect("the folder is ours");
        let name = text.to_str().expect("it is text");
        let refused = run(Command::new("sh")
            .args(["-c", "ulimit -v 60000; exec \"$0\" \"$@\"", DOCTOR])
            .args(["check", "--from", name]));
        assert_eq!(refused.status.code(), Some(3), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("out of memory"),
            "{}",
            refused.stderr
        );
    });
}

#[test]
fn a_user_who_may_start_few_processes_gets_an_answer() {
    in_private_network(|| {
        if !have_root() || !have("setpriv") {
            return;
        }
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let (_folder, doctor) = doctor_for_everybody();
        for limit in ["1", "20"] {
            let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
            let mut command = Command::new("prlimit");
            command
                .arg(format!("--nproc={limit}"))
                .arg("setpriv")
                .args(nobody);
            let run = run(command.arg(&doctor).args(CHECK));
            assert_eq!(harm(&run, CHECK, limit), None);
        }
    });
}
