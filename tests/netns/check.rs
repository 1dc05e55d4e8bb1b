//! One status for a monitoring system or a CI job: each exit code on real sockets.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::incident::{Incident, QUEUED};
use crate::privileges::doctor_for_everybody;
use crate::support::{
    MESSAGE, Run, SHORT_GRACE, close, connect, connect_many, doctor, doctor_command, have,
    have_root, in_private_network, outlast, run, send, start_server, talk, wait_for_close_waits,
    wait_for_queue,
};

/// With a grace period in which nothing grows old: only thresholds count.
const CHECK: [&str; 5] = ["check", "--port", "8080", "--min-age", "60s"];
/// With the grace period of these tests.
pub(crate) const SHORT: [&str; 5] = ["check", "--port", "8080", "--min-age", "300ms"];

pub(crate) fn check(arguments: &[&[&str]]) -> Run {
    doctor(&arguments.concat())
}

pub(crate) fn stdout(run: &Run) -> &str {
    std::str::from_utf8(&run.stdout).expect("all formats are UTF-8")
}

/// Fails unless the exit code and the first words of the only line agree with this.
pub(crate) fn assert_line<'r>(run: &'r Run, code: i32, word: &str) -> &'r str {
    let line = stdout(run);
    assert_eq!(run.status.code(), Some(code), "{line}{}", run.stderr);
    assert!(line.starts_with(&format!("CLOSEWAIT {word} - ")), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert_eq!(run.stderr, "", "{line}");
    line
}

/// Two connections in `CLOSE_WAIT` that the server never closes; young, they are nothing to worry about.
pub(crate) fn with_young_close_waits(look: impl Fn()) {
    let _server = start_server(&["unclosed-after-eof"]);
    for mut client in [connect(), connect()] {
        send(&mut client, MESSAGE);
        close(client);
    }
    wait_for_close_waits(2, |unread| unread == 0);
    look();
}

pub(crate) fn with_incident(look: impl Fn()) {
    let _incident = Incident::play(&[]);
    wait_for_queue(QUEUED);
    outlast(SHORT_GRACE);
    look();
}

#[test]
fn check_of_a_healthy_server_is_ok() {
    in_private_network(|| {
        let _server = start_server(&["healthy"]);
        talk(&mut connect());
        let run = check(&[&CHECK, &["--crit", "close-wait=100,queue=80%,age=60s"]]);
        assert_line(&run, 0, "OK");
    });
}

#[test]
fn check_of_nothing_at_all_is_ok() {
    in_private_network(|| {
        let run = check(&[&CHECK]);
        let line = assert_line(&run, 0, "OK");
        assert!(line.contains("0 listeners on port 8080"), "{line}");
    });
}

#[test]
fn check_of_a_leak_is_a_warning_by_its_finding() {
    in_private_network(|| {
        with_young_close_waits(|| {
            outlast(SHORT_GRACE);
            let run = check(&[&SHORT]);
            let line = assert_line(&run, 1, "WARNING");
            assert!(line.contains("unclosed-after-eof"), "{line}");
        });
    });
}

#[test]
fn check_of_the_incident_is_critical_and_says_why_first() {
    in_private_network(|| {
        with_incident(|| {
            let run = check(&[&SHORT, &["--warn", "queue=5,age=100ms"]]);
            let line = assert_line(&run, 2, "CRITICAL");
            let at = |part| line.find(part).unwrap_or_else(|| panic!("{part}: {line}"));
            assert!(at("edge-triggered-stall") < at("queue 23 is above 5"));
            at("age ");
        });
    });
}

#[test]
fn check_counts_what_is_above_a_threshold_and_not_what_is_on_it() {
    in_private_network(|| {
        with_young_close_waits(|| {
            let with = |thresholds: &[&str]| check(&[&CHECK, thresholds]);
            assert_line(&with(&[]), 0, "OK");
            assert_line(&with(&["--warn", "close-wait=2"]), 0, "OK");
            assert_line(&with(&["--warn", "close-wait=1"]), 1, "WARNING");
            assert_line(&with(&["--crit", "close-wait=1"]), 2, "CRITICAL");
            let both = with(&["--warn", "close-wait=1", "--crit", "close-wait=2"]);
            let line = assert_line(&both, 1, "WARNING");
            assert!(line.contains("close_wait=2;1;2;0"), "{line}");
        });
    });
}

#[test]
fn check_holds_a_queue_against_its_limit() {
    in_private_network(|| {
        let _server = start_server(&["never-accepts"]);
        let _clients = connect_many(3);
        wait_for_queue(3);
        let with = |threshold: &str| check(&[&CHECK, &["--crit", threshold]]);
        assert_line(&with("queue=3"), 0, "OK");
        assert_line(&with("queue=2"), 2, "CRITICAL");
        let line = with("queue=0%");
        assert!(assert_line(&line, 2, "CRITICAL").contains("127.0.0.1:8080"));
    });
}

#[test]
fn check_does_not_call_unknown_ages_ok() {
    in_private_network(|| {
        with_young_close_waits(|| {
            let looked = check(&[&CHECK, &["--source", "procfs", "--crit", "age=60s"]]);
            let line = assert_line(&looked, 3, "UNKNOWN");
            assert!(line.contains("age may be above 60s"), "{line}");
            assert!(line.contains("connections of unknown age: 2"), "{line}");
        });
    });
}

#[test]
fn check_that_cannot_look_says_so_in_its_line() {
    in_private_network(|| {
        for arguments in [
            &["--from", "/nonexistent"][..],
            &["--netns", "nonexistent"],
            &["--warn", "age=2s", "--crit", "age=1s"],
            &["--warn", "age=2s,age=3s"],
        ] {
            assert_line(&check(&[&CHECK, arguments]), 3, "UNKNOWN");
        }
    });
}

#[test]
fn check_refuses_a_bad_threshold_by_the_name_of_its_metric() {
    in_private_network(|| {
        for (threshold, metric) in [
            ("close-wait=many", "close-wait"),
            ("queue=101%", "queue"),
            ("age=60", "age"),
            ("sockets=1", "sockets"),
        ] {
            let run = check(&[&CHECK, &["--warn", "close-wait=1", "--crit", threshold]]);
            assert_eq!(run.status.code(), Some(3), "{threshold}");
            assert!(run.stderr.contains(metric), "{}", run.stderr);
        }
    });
}

#[test]
fn check_of_a_process_that_may_not_be_read_is_unknown() {
    in_private_network(|| {
        if !have("setpriv") || !have_root() {
            return;
        }
        let server = start_server(&["healthy"]);
        let (_folder, doctor) = doctor_for_everybody();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
        let looked = run(Command::new("setpriv").args(nobody).arg(doctor).args([
            "check",
            "--pid",
            &server.pid().to_string(),
        ]));
        assert_line(&looked, 3, "UNKNOWN");
    });
}

#[test]
fn check_of_a_recording_is_the_check_of_its_host() {
    in_private_network(|| {
        with_incident(|| {
            let folder = tempfile::tempdir().expect("there is room for temporary files");
            let file = folder.path().join("recording");
            let file = file.to_str().expect("temporary paths are UTF-8");
            let record = ["record", "--port", "8080", "--min-age", "300ms", "-o", file];
            assert!(doctor(&record).status.success());
            let run = check(&[&["check", "--from", file, "--crit", "close-wait=5"]]);
            let line = assert_line(&run, 2, "CRITICAL");
            assert!(line.contains("close_wait=10;;5;0"), "{line}");
        });
    });
}

#[test]
fn check_tells_its_status_to_a_reader_who_left_too() {
    in_private_network(|| {
        with_incident(|| {
            for format in ["line", "json", "junit", "github"] {
                let mut doctor = doctor_command(&[&SHORT[..], &["--format", format]].concat())
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("the doctor is built");
                drop(doctor.stdout.take());
                let status = doctor.wait().expect("it is our child");
                let killed_by_pipe = status.signal() == Some(Signal::PIPE.as_raw());
                assert!(
                    status.code() == Some(2) || killed_by_pipe,
                    "{format}: {status}"
                );
            }
        });
    });
}

#[test]
fn scan_fails_on_what_it_is_told_to_and_prints_its_report_all_the_same() {
    in_private_network(|| {
        let scan = |options: &[&str]| {
            let run = check(&[&["scan"], &SHORT[1..], &["--format", "json"], options]);
            let report: Value = serde_json::from_slice(&run.stdout).expect("it is JSON");
            assert_eq!(report["schema"], "closewait-doctor.report/v1");
            run.status.code().expect("it ended by itself")
        };
        assert_eq!(scan(&["--fail-on", "warning"]), 0);
        with_young_close_waits(|| {
            outlast(SHORT_GRACE);
            assert_eq!(scan(&[]), 0);
            assert_eq!(scan(&["--fail-on", "warning"]), 1);
            assert_eq!(scan(&["--fail-on", "critical"]), 0);
            // The ages are out of sight: what is critical may be, too.
            let unseen = ["--source", "procfs", "--fail-on", "critical"];
            assert_eq!(scan(&unseen), 3);
        });
        with_incident(|| {
            assert_eq!(scan(&[]), 0);
            assert_eq!(scan(&["--fail-on", "warning"]), 2);
            assert_eq!(scan(&["--fail-on", "critical"]), 2);
        });
    });
}
