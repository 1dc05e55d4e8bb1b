//! The incident that the program was written for: `examples/incident.rs`.

use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::support::{
    DEFAULT_GRACE, Program, SHORT_GRACE, advises, assert_age, assert_blames, doctor, example,
    in_private_network, outlast, queue, says, scan, wait_for_queue,
};

/// The server, and the clients who came while it was busy.
pub(crate) struct Incident {
    server: Program,
    _clients: Program,
    /// When those of the clients left who did.
    left_at: Instant,
}

impl Incident {
    pub(crate) fn play(cure: &[&str]) -> Self {
        let server = Program::start(Command::new(example("incident")).arg("server").args(cure));
        server.wait_for_line("listening");
        let clients =
            Program::start(Command::new(example("incident")).args(["client", "--hold", "60"]));
        let (left_at, _) = clients.wait_for_line("holding");
        Self {
            server,
            _clients: clients,
            left_at,
        }
    }

    pub(crate) fn server_pid(&self) -> u32 {
        self.server.pid()
    }

    /// When those of the clients left who did.
    pub(crate) fn left_at(&self) -> Instant {
        self.left_at
    }

    /// What a descriptor of the server is.
    fn descriptor(&self, number: &Value) -> String {
        let link = std::fs::read_link(format!("/proc/{}/fd/{number}", self.server.pid()));
        link.expect("the server has this descriptor")
            .to_string_lossy()
            .into_owned()
    }
}

/// Of the crowd of 24, the server accepted and closed the first, which was to stay. The others are left.
pub(crate) const QUEUED: u64 = 23;
pub(crate) const CLOSED: u64 = 10;
pub(crate) const STAYED: u64 = 9;
pub(crate) const RESET: u64 = 4;

#[test]
fn the_incident_is_one_finding_with_its_proof_and_both_cures() {
    in_private_network(|| {
        let incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(DEFAULT_GRACE);
        let report = doctor(&["scan", "--port", "8080", "--format", "json"]).report();

        assert_eq!(report["summary"]["verdict"], "critical");
        let finding = report.only("edge-triggered-stall");
        assert_eq!(finding["severity"], "critical");
        assert_eq!(finding["confidence"], "certain");
        assert_eq!(finding["connections"], QUEUED);

        let server = incident.server.pid();
        assert_blames(finding, &[server]);
        assert!(says(finding, &format!("thread {server}")), "{finding:#}");
        assert!(says(finding, "epoll_wait"), "{finding:#}");
        assert!(says(finding, "EPOLLET"), "{finding:#}");

        let listener = report.listeners()[0];
        let (owner, watcher) = (&listener["owners"][0], &listener["watchers"][0]);
        assert_eq!(owner["pid"], server);
        assert_eq!(
            incident.descriptor(&owner["fd"]),
            format!("socket:[{}]", listener["inode"])
        );
        assert!(
            says(finding, &format!("listener fd {}", owner["fd"])),
            "{finding:#}"
        );
        assert_eq!(watcher["pid"], server);
        assert_eq!(watcher["edge_triggered"], true);
        assert_eq!(
            incident.descriptor(&watcher["epoll_fd"]),
            "anon_inode:[eventpoll]"
        );
        assert!(
            says(finding, &format!("epoll fd {}", watcher["epoll_fd"])),
            "{finding:#}"
        );

        assert!(advises(finding, "EAGAIN"), "{finding:#}");
        assert!(advises(finding, "without EPOLLET"), "{finding:#}");
    });
}

#[test]
fn every_connection_that_waits_in_the_incident_is_accounted_for() {
    in_private_network(|| {
        let incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        let run = scan(&[]);
        let report = run.report();

        report.assert_queue(queue(), CLOSED, STAYED, RESET);
        let close_waits = report.close_waits();
        assert_eq!(close_waits.len() as u64, CLOSED);
        for connection in close_waits {
            assert_eq!(connection["place"], "accept-queue", "{connection:#}");
            assert_eq!(connection["inode"], 0, "{connection:#}");
            assert_eq!(connection["recv_q"], 46, "{connection:#}");
            assert_eq!(connection["eof"], "unread", "{connection:#}");
            assert_age(connection, incident.left_at, &run);
        }
        let close_wait = &report["summary"]["close_wait"];
        assert_eq!(close_wait["total"], CLOSED);
        assert_eq!(close_wait["accept_queue"], CLOSED);
    });
}

#[test]
fn procfs_alone_shows_the_stall_and_says_what_it_cannot_know() {
    in_private_network(|| {
        let _incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        let report = scan(&["--source", "procfs"]).report();

        assert_eq!(report["sources"]["sockets"], "procfs");
        report.only("edge-triggered-stall");
        assert_eq!(report.accept_queue()["length"], queue().length);
        assert!(
            report.accept_queue()["limit"].is_null(),
            "{:#}",
            report.accept_queue()
        );
        assert!(
            report.accept_queue()["oldest_ms"].is_null(),
            "{:#}",
            report.accept_queue()
        );
        for connection in report.close_waits() {
            assert!(connection["age_at_most_ms"].is_null(), "{connection:#}");
        }
    });
}

#[test]
fn the_level_triggered_cure_is_healthy() {
    in_private_network(|| assert_cured("level"));
}

#[test]
fn the_cure_that_accepts_until_the_queue_is_empty_is_healthy() {
    in_private_network(|| assert_cured("drain"));
}

fn assert_cured(cure: &str) {
    let _incident = Incident::play(&["--cure", cure]);
    wait_for_queue(0);
    outlast(SHORT_GRACE);
    scan(&[]).report().assert_healthy();
}
