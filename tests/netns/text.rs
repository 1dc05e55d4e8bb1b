//! What people paste instead of a recording: the tables of `ss` and `netstat` and copies of `/proc/net/tcp`, taken of the
//! incident and given to the doctor, who says what they show and what they do not.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::incident::{CLOSED, Incident, QUEUED, RESET, STAYED};
use crate::support::{
    MESSAGE, Queue, Report, Run, SHORT_GRACE, assert_age, assert_blames, close, connect, doctor,
    doctor_command, have, in_private_network, items, outlast, queue, run, says, send, start_server,
    wait_for_close_waits, wait_for_queue,
};

/// A file with what was pasted, next to each other.
struct Paste {
    _folder: TempDir,
    file: PathBuf,
}

impl Paste {
    fn of(texts: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let file = folder.path().join("paste.txt");
        std::fs::write(&file, texts.concat()).expect("the folder is ours");
        Self {
            _folder: folder,
            file,
        }
    }

    fn scan(&self, more: &[&str]) -> Report {
        let file = self.file.to_str().expect("temporary paths are UTF-8");
        let options = [
            "scan",
            "--format",
            "json",
            "--min-age",
            "300ms",
            "--from",
            file,
        ];
        let report = doctor(&[&options, more].concat()).report();
        assert_eq!(report["sources"]["sockets"], "recording");
        report
    }
}

/// A command below its prompt, as a terminal shows it.
fn terminal(command: &str) -> (String, Run) {
    let mut words = command.split_whitespace();
    let run = run(Command::new(words.next().expect("a command")).args(words));
    assert!(run.status.success(), "{command}: {}", run.stderr);
    let text = format!(
        "root@host:~# {command}\n{}",
        String::from_utf8_lossy(&run.stdout)
    );
    (text, run)
}

fn output_of(command: &str) -> String {
    terminal(command).0
}

/// The incident when the crowd has waited for longer than the grace period.
fn waiting_crowd() -> Incident {
    let incident = Incident::play(&[]);
    wait_for_queue(QUEUED);
    outlast(SHORT_GRACE);
    incident
}

/// Returns whether a blind spot is about this, and which command would show it.
fn misses(report: &Report, what: &str, remedy: &str) -> bool {
    let contains = |spot: &Value, field: &str, part: &str| {
        spot[field].as_str().is_some_and(|text| text.contains(part))
    };
    items(&report["blind_spots"])
        .any(|spot| contains(spot, "what", what) && contains(spot, "remedy", remedy))
}

fn assert_misses(report: &Report, what: &str, remedy: &str) {
    assert!(
        misses(report, what, remedy),
        "{what} by {remedy} in {:#}",
        report["blind_spots"]
    );
}

/// The only finding, on the listener of the incident, which cannot say why.
fn stranded<'r>(report: &'r Report, incident: &Incident) -> &'r Value {
    let findings: Vec<&Value> = items(&report["findings"]).collect();
    let [finding] = findings[..] else {
        panic!("expected one finding: {:#}", report.json())
    };
    assert_eq!(finding["id"], "accept-queue-stranded", "{finding:#}");
    assert_eq!(finding["connections"], QUEUED, "{finding:#}");
    assert_blames(finding, &[incident.server_pid()]);
    assert_misses(report, "what threads wait for", "closewait-doctor scan");
    finding
}

#[test]
fn ss_with_every_option_accounts_for_every_connection_of_the_incident() {
    in_private_network(|| {
        let incident = waiting_crowd();
        for command in ["ss -tanpoie", "ss -HtanpoieO"] {
            let (text, ss) = terminal(command);
            let report = Paste::of(&[&text]).scan(&[]);

            assert_eq!(report["summary"]["verdict"], "critical");
            assert_eq!(stranded(&report, &incident)["confidence"], "certain");
            report.assert_queue(queue(), CLOSED, STAYED, RESET);
            assert_eq!(report.close_waits().len() as u64, CLOSED);
            for connection in report.close_waits() {
                assert_eq!(connection["place"], "accept-queue", "{connection:#}");
                assert_eq!(connection["inode"], 0, "{connection:#}");
                assert_eq!(connection["recv_q"], 46, "{connection:#}");
                assert_age(connection, incident.left_at(), &ss);
            }
        }
    });
}

#[test]
fn netstat_and_a_list_of_listeners_show_who_may_wait_and_what_is_missing() {
    in_private_network(|| {
        if !have("netstat") {
            return;
        }
        let incident = waiting_crowd();
        let (connections, listeners) = (output_of("netstat -natp"), output_of("ss -ltn"));
        let report = Paste::of(&[&connections, "and then\n", &listeners]).scan(&["--port", "8080"]);

        assert_eq!(report["summary"]["verdict"], "unknown");
        let finding = stranded(&report, &incident);
        assert_eq!(finding["severity"], "info");
        assert_eq!(finding["confidence"], "possible");
        assert!(
            says(
                finding,
                &format!("{CLOSED} connections in CLOSE_WAIT with Recv-Q 46")
            ),
            "{finding:#}"
        );
        assert_eq!(length_and_limit(&report), queue());
        assert!(report.accept_queue()["close_wait"].is_null());
        let owner = &report.listeners()[0]["owners"][0];
        assert_eq!(owner["pid"], incident.server_pid());
        assert!(owner["fd"].is_null(), "{owner:#}");

        assert_eq!(report["summary"]["close_wait"]["total"], CLOSED);
        assert_eq!(report["summary"]["close_wait"]["unattributed"], CLOSED);
        for connection in report.close_waits() {
            assert_eq!(connection["place"], "unattributed", "{connection:#}");
            assert!(connection["inode"].is_null(), "{connection:#}");
        }
        assert_misses(&report, "ever left the accept queue", "ss -tanpoie");
        assert_misses(&report, "how long", "ss -tanpoie");
        assert_misses(&report, "same moment", "ss -tanpoie");
    });
}

fn length_and_limit(report: &Report) -> Queue {
    let number = |field: &str| report.accept_queue()[field].as_u64().expect("a number");
    Queue {
        length: number("length"),
        limit: number("limit"),
    }
}

#[test]
fn a_list_of_listeners_alone_is_taken_for_no_more() {
    in_private_network(|| {
        let _incident = waiting_crowd();
        let report = Paste::of(&[&output_of("ss -ltn")]).scan(&[]);

        assert_eq!(report["summary"]["verdict"], "unknown");
        assert_eq!(length_and_limit(&report), queue());
        for field in ["close_wait", "established", "reset", "oldest_ms"] {
            assert!(report.accept_queue()[field].is_null(), "{field}");
        }
        assert_misses(&report, "which process holds the listener", "as root");
        assert_misses(&report, "connections in CLOSE_WAIT", "ss -tanpoie");
    });
}

#[test]
fn copies_of_proc_tell_what_was_never_accepted_and_neither_since_when_nor_by_whom() {
    in_private_network(|| {
        let _incident = waiting_crowd();
        let report = Paste::of(&[&output_of("cat /proc/net/tcp /proc/net/tcp6")]).scan(&[]);

        assert_eq!(report["summary"]["close_wait"]["accept_queue"], CLOSED);
        let queue = report.accept_queue();
        assert_eq!(queue["close_wait"], CLOSED);
        assert_eq!(queue["established"], STAYED);
        assert!(
            queue["limit"].is_null() && queue["reset"].is_null(),
            "{queue:#}"
        );
        assert_misses(&report, "which process holds the listener", "as root");
        assert_misses(&report, "is full", "ss -ltn");
        assert_misses(&report, "how long", "ss -tanpoie");
    });
}

#[test]
fn a_cured_server_is_healthy_in_text_too() {
    in_private_network(|| {
        let _incident = Incident::play(&["--cure", "level"]);
        wait_for_queue(0);
        outlast(SHORT_GRACE);
        let text = output_of("ss -tanpoie");
        Paste::of(&[&text])
            .scan(&["--port", "8080"])
            .assert_healthy();
        Paste::of(&[&text]).scan(&[]).assert_healthy();
    });
}

#[test]
fn a_leak_is_found_in_text_with_its_owner_and_its_age() {
    in_private_network(|| {
        let server = start_server(&["unclosed-after-eof"]);
        let mut clients = [connect(), connect()];
        for client in &mut clients {
            send(client, MESSAGE);
        }
        let _closed = clients.map(close);
        wait_for_close_waits(2, |unread| unread == 0);
        outlast(SHORT_GRACE);

        let report = Paste::of(&[&output_of("ss -tanpoie")]).scan(&[]);
        let finding = report.only("unclosed-after-eof");
        assert_eq!(finding["connections"], 2);
        assert_eq!(finding["confidence"], "likely");
        assert_blames(finding, &[server.pid()]);

        let netstat = "tcp 0 0 127.0.0.1:8080 127.0.0.1:5 CLOSE_WAIT 7/server\n";
        let report = Paste::of(&[netstat]).scan(&[]);
        assert!(
            report.above_info().is_empty(),
            "without ages it may be a moment old"
        );
        assert_eq!(report["summary"]["verdict"], "unknown");
        assert_misses(&report, "accept queues", "ss -ltn");
    });
}

#[test]
fn a_full_queue_is_seen_in_one_line_of_ss() {
    in_private_network(|| {
        let report = Paste::of(&["LISTEN 129 128 127.0.0.1:80 0.0.0.0:*\n"]).scan(&[]);
        let mut findings = items(&report["findings"]);
        assert!(findings.any(|finding| finding["id"] == "accept-queue-overflow"));
        assert_eq!(report["summary"]["verdict"], "unknown");
    });
}

#[test]
fn a_port_that_is_not_in_the_text_is_not_called_healthy() {
    in_private_network(|| {
        let report = Paste::of(&["LISTEN 0 128 127.0.0.1:80 0.0.0.0:*\n"]).scan(&["--port", "81"]);
        assert_eq!(report["summary"]["verdict"], "unknown");
        assert_misses(&report, "accept queues", "ss -ltn");
    });
}

/// As it was posted in 2022: eight connections without an owner, and a queue of 24 that has one.
const POSTED: &str = include_str!("../captures/text/incident_netstat_and_ss.txt");

#[test]
fn the_posted_incident_names_the_queue_its_owner_and_who_may_wait_in_it() {
    in_private_network(|| {
        let report = Paste::of(&[POSTED]).scan(&["--port", "8080"]);
        let findings: Vec<&Value> = items(&report["findings"]).collect();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let finding = findings[0];
        assert_eq!(finding["id"], "accept-queue-stranded");
        assert_eq!(finding["connections"], 24);
        assert_blames(finding, &[88324]);
        assert!(says(finding, "accept queue 24 of 511"), "{finding:#}");
        assert!(
            says(finding, "8 connections in CLOSE_WAIT with Recv-Q 46"),
            "{finding:#}"
        );
        assert_eq!(report["summary"]["close_wait"]["unattributed"], 8);
        assert_misses(&report, "ever left the accept queue", "ss -tanpoie");
    });
}

#[test]
fn a_paste_is_read_from_standard_input() {
    in_private_network(|| {
        let file = Paste::of(&[POSTED]);
        let input = std::fs::File::open(&file.file).expect("it was just written");
        let output = doctor_command(&["scan", "--from", "-"])
            .stdin(input)
            .output()
            .expect("the doctor is built");
        assert_eq!(output.status.code(), Some(0));
        let table = String::from_utf8_lossy(&output.stdout);
        assert!(table.contains("server[88324]"), "{table}");
        assert!(table.contains("NOT SEEN"), "{table}");
    });
}
