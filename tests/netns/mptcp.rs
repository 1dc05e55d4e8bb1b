//! Connections that are one at MPTCP level, and at TCP level only its subflows.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use rustix::net::{AddressFamily, SocketType, ipproto};
use serde_json::Value;

use crate::support::{
    MESSAGE, Program, Report, SHORT_GRACE, assert_blames, close, connect, doctor, have, have_mptcp,
    in_private_network, items, outlast, queue, says, scan, send, wait_for_close_waits,
    wait_for_queue, wait_until,
};

/// Accepts every client, reads to the end of its stream, and keeps the socket.
const KEEPS: &str = "
kept = []
while True:
    client, _ = listener.accept()
    while client.recv(4096):
        pass
    kept.append(client)
";

/// The same, and closes it.
const CLOSES: &str = "
while True:
    client, _ = listener.accept()
    while client.recv(4096):
        pass
    client.close()
";

/// Does nothing any more.
const NEVER_ACCEPTS: &str = "
import time
time.sleep(1000)
";

/// An MPTCP server; none where the test cannot run.
fn mptcp_server(does: &str) -> Option<Program> {
    const LISTENS: &str = "
import socket
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
listener.bind(('127.0.0.1', 8080))
listener.listen(16)
print('ready', flush=True)
";
    if !have_mptcp() || !have("python3") || !have("ss") {
        return None;
    }
    let program = [LISTENS, does].concat();
    let server = Program::start(Command::new("python3").args(["-c", &program]));
    server.wait_for_line("ready");
    Some(server)
}

/// An MPTCP client, who has said something.
fn mptcp_client() -> TcpStream {
    let socket = rustix::net::socket(
        AddressFamily::INET,
        SocketType::STREAM,
        Some(ipproto::MPTCP),
    )
    .expect("the kernel has MPTCP");
    rustix::net::connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
        .expect("the server listens");
    let mut client = TcpStream::from(socket);
    send(&mut client, MESSAGE);
    client
}

/// Counts sockets, by lines of `ss`.
fn count(arguments: &[&str]) -> usize {
    let output = Command::new("ss")
        .args(arguments)
        .output()
        .expect("ss is installed");
    String::from_utf8_lossy(&output.stdout).lines().count()
}

fn wait_for_mptcp_close_waits(number: usize) {
    wait_until("the MPTCP connections are in CLOSE_WAIT", || {
        count(&["-HMn", "state", "close-wait"]) == number
    });
}

fn assert_nothing_at_tcp_level() {
    assert_eq!(count(&["-Htn", "state", "close-wait"]), 0);
}

fn assert_only_listener(report: &Report) {
    assert_eq!(report.listeners().len(), 1, "{:#}", report.json());
}

fn finding<'a>(report: &'a Report, id: &str) -> &'a Value {
    items(&report["findings"])
        .find(|finding| finding["id"] == id)
        .unwrap_or_else(|| panic!("no {id} in {:#}", report.json()))
}

#[test]
fn an_mptcp_connection_that_a_server_does_not_close_is_found() {
    in_private_network(|| {
        let Some(server) = mptcp_server(KEEPS) else {
            return;
        };
        let closed = close(mptcp_client());
        wait_for_mptcp_close_waits(1);
        assert_nothing_at_tcp_level();
        let report = scan(&["--observe", "600ms"]).report();
        let finding = report.only("unclosed-after-eof");
        assert_eq!(finding["severity"], "warning", "{finding:#}");
        assert_eq!(finding["confidence"], "possible", "{finding:#}");
        assert_blames(finding, &[server.pid()]);
        assert!(says(finding, "can be told"), "{finding:#}");
        let connections = report.close_waits();
        let [connection] = connections[..] else {
            panic!("one connection expected: {:#}", report.json());
        };
        assert_eq!(connection["remote"], closed.client.to_string());
        assert_eq!(connection["mptcp"], true);
        assert_eq!(connection["eof"], Value::Null);
        assert_eq!(connection["age_at_most_ms"], Value::Null);
        assert_eq!(connection["place"], "process");
        assert_eq!(connection["owners"][0]["pid"], server.pid());
        assert_only_listener(&report);
    });
}

#[test]
fn one_look_does_not_tell_how_long_an_mptcp_peer_has_been_gone() {
    in_private_network(|| {
        let Some(_server) = mptcp_server(KEEPS) else {
            return;
        };
        close(mptcp_client());
        wait_for_mptcp_close_waits(1);
        let report = scan(&[]).report();
        assert!(report.above_info().is_empty(), "{:#}", report.json());
        finding(&report, "unclosed-after-eof");
        assert_eq!(report["summary"]["verdict"], "unknown");
        let spots = report["blind_spots"].to_string();
        assert!(
            spots.contains("MPTCP") && spots.contains("--observe"),
            "{spots}"
        );
    });
}

#[test]
fn an_mptcp_connection_in_an_accept_queue_counts_once_and_as_closed() {
    in_private_network(|| {
        let Some(_server) = mptcp_server(NEVER_ACCEPTS) else {
            return;
        };
        let _stays = mptcp_client();
        close(mptcp_client());
        wait_for_queue(2);
        wait_for_mptcp_close_waits(1);
        assert_nothing_at_tcp_level();
        outlast(SHORT_GRACE);
        let report = scan(&[]).report();
        report.assert_queue(queue(), 1, 1, 0);
        let finding = report.only("acceptor-busy");
        assert_eq!(finding["connections"], 2, "{finding:#}");
        let connections = report.close_waits();
        assert_eq!(connections.len(), 1);
        assert_eq!(connections[0]["place"], "accept-queue");
        assert_eq!(connections[0]["eof"], Value::Null);
    });
}

#[test]
fn subflows_that_joined_a_waiting_mptcp_connection_do_not_wait_themselves() {
    in_private_network(|| {
        let Some(_server) = mptcp_server(NEVER_ACCEPTS) else {
            return;
        };
        for arguments in [
            "limits set subflow 2 add_addr_accepted 2",
            "endpoint add 127.0.0.2 dev lo subflow",
        ] {
            let words = arguments.split(' ');
            let status = Command::new("ip").arg("mptcp").args(words).status();
            assert!(status.expect("ip is installed").success(), "{arguments}");
        }
        let _stays = mptcp_client();
        wait_for_queue(1);
        wait_until("the second subflow has joined", || {
            count(&["-Htn", "state", "established", "sport", "=", ":8080"]) == 2
        });
        outlast(SHORT_GRACE);
        scan(&[]).report().assert_queue(queue(), 0, 1, 0);
    });
}

#[test]
fn a_tcp_client_of_an_mptcp_server_is_an_ordinary_one() {
    in_private_network(|| {
        let Some(server) = mptcp_server(KEEPS) else {
            return;
        };
        let mut client = connect();
        send(&mut client, MESSAGE);
        let closed = close(client);
        wait_for_close_waits(1, |unread| unread == 0);
        outlast(SHORT_GRACE);
        let run = scan(&[]);
        let report = run.report();
        report.assert_closed(&run, &[closed], "consumed");
        assert_blames(report.only("unclosed-after-eof"), &[server.pid()]);
        assert_only_listener(&report);
    });
}

#[test]
fn an_mptcp_server_that_closes_is_left_in_peace() {
    in_private_network(|| {
        let Some(_server) = mptcp_server(CLOSES) else {
            return;
        };
        for _ in 0..10 {
            drop(mptcp_client());
            let report = scan(&[]).report();
            assert!(report.above_info().is_empty(), "{:#}", report.json());
        }
        let _stays = mptcp_client();
        wait_for_mptcp_close_waits(0);
        outlast(SHORT_GRACE);
        scan(&[]).report().assert_healthy();
    });
}

#[test]
fn a_recording_holds_what_is_at_mptcp_level() {
    in_private_network(|| {
        let Some(server) = mptcp_server(KEEPS) else {
            return;
        };
        close(mptcp_client());
        wait_for_mptcp_close_waits(1);
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let file = folder.path().join("recording");
        let file = file.to_str().expect("temporary paths are UTF-8");
        let recorded = doctor(&["record", "--port", "8080", "-o", file]);
        assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);
        let replay = doctor(&["scan", "--from", file, "--format", "json"]).report();
        assert_blames(finding(&replay, "unclosed-after-eof"), &[server.pid()]);
    });
}
