//! Connections that one end has closed, on which the other end is not simply to blame. The test itself holds them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::set_socket_keepalive;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::support::{
    Program, Report, SHORT_GRACE, assert_blames, connect, in_private_network, items, outlast, says,
    scan, start_server, wait_until,
};

/// A listener on port 8080 and a connection to it, the server's end first; all are this process's.
fn pair() -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:8080").expect("the port is free");
    let client = connect();
    let (server, _) = listener.accept().expect("a client has connected");
    (listener, server, client)
}

fn me() -> u32 {
    std::process::id()
}

/// What a look says once all is older than the grace period.
fn report() -> Report {
    outlast(SHORT_GRACE);
    scan(&[]).report()
}

/// The one finding with this id, whatever its severity.
fn finding(report: &Report, id: &str) -> serde_json::Value {
    let all = items(&report.json()["findings"]);
    let mut found = all.filter(|finding| finding["id"] == id);
    let only = found
        .next()
        .unwrap_or_else(|| panic!("{id} is not in {:#}", report.json()));
    assert!(found.next().is_none(), "{:#}", report.json());
    only.clone()
}

/// Findings on connections that are still young, or that are no case at all.
fn assert_no_other(report: &Report, id: &str) {
    for other in items(&report.json()["findings"]) {
        assert_eq!(other["id"], id, "{other:#}");
    }
}

#[test]
fn a_pooled_connection_that_the_server_closed_is_no_alarm() {
    in_private_network(|| {
        let (_listener, server, _client) = pair();
        drop(server);
        let report = report();
        let found = finding(&report, "idle-pool-connection");
        assert_eq!(found["severity"], "info");
        assert_eq!(found["subject"]["remote"], "127.0.0.1:8080");
        assert_blames(&found, &[me()]);
        report.assert_healthy();
    });
}

#[test]
fn a_half_closed_connection_that_data_still_flows_on_is_fine() {
    in_private_network(|| {
        let (_listener, mut server, mut client) = pair();
        client.shutdown(Shutdown::Write).expect("it is connected");
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            client.read_to_end(&mut received)
        });
        let writer = thread::spawn(move || {
            // It ends with the test's process, or here.
            for _ in 0..500 {
                if server.write_all(b"more").is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        let report = report();
        let found = finding(&report, "half-closed-active");
        assert_eq!(found["severity"], "info");
        assert_no_other(&report, "half-closed-active");
        report.assert_healthy();
        drop((reader, writer));
    });
}

#[test]
fn a_writer_whose_peer_takes_nothing_more_is_stuck() {
    in_private_network(|| {
        let (_listener, mut server, client) = pair();
        client.shutdown(Shutdown::Write).expect("it is connected");
        server.set_nonblocking(true).expect("a socket can be set");
        while server.write(&[0; 4096]).is_ok() {}
        // The last of it goes out before the window is shut.
        outlast(SHORT_GRACE);
        let report = report();
        let found = finding(&report, "stuck-writer");
        assert_eq!(found["severity"], "warning");
        assert!(says(&found, "bytes wait to be sent"), "{found:#}");
        assert_eq!(report.json()["summary"]["verdict"], "degraded");
    });
}

#[test]
fn a_connection_that_a_child_has_inherited_is_held_by_both() {
    in_private_network(|| {
        let (_listener, server, client) = pair();
        fcntl_setfd(&server, FdFlags::empty()).expect("a descriptor can be inherited");
        let child = Program::start(
            Command::new("sh")
                .args(["-c", "echo ready; exec sleep 60"])
                .stdout(Stdio::piped()),
        );
        child.wait_for_line("ready");
        drop(client);
        let report = report();
        let found = finding(&report, "inherited-descriptor");
        assert_eq!(found["severity"], "warning");
        let mut both = [me(), child.pid()];
        both.sort_unstable();
        assert_blames(&found, &both);
        assert!(
            says(&found, "was started by one of the others"),
            "{found:#}"
        );
        drop(server);
    });
}

#[test]
fn a_peer_that_does_not_close_is_told_from_our_own_leak() {
    in_private_network(|| {
        let server = start_server(&["unread-eof", "--because", "unwatched"]);
        let client = connect();
        client.shutdown(Shutdown::Write).expect("it is connected");
        let report = report();
        let found = finding(&report, "peer-not-closing");
        assert_eq!(found["severity"], "info");
        assert_blames(&found, &[me()]);
        assert_blames(&finding(&report, "unread-eof"), &[server.pid()]);
    });
}

#[test]
fn a_relay_that_waits_for_its_other_side_is_recognised() {
    in_private_network(|| {
        let upstream = start_server(&["unread-eof", "--because", "unwatched", "--port", "9000"]);
        let downstream = TcpListener::bind("127.0.0.1:8080").expect("the port is free");
        let client = connect();
        let (mut from_client, _) = downstream.accept().expect("a client has connected");
        let to_upstream = TcpStream::connect("127.0.0.1:9000").expect("the upstream listens");
        drop(client);
        let end = from_client.read(&mut [0]).expect("the client has closed");
        assert_eq!(end, 0);
        to_upstream
            .shutdown(Shutdown::Write)
            .expect("it is connected");
        outlast(SHORT_GRACE);
        let report =
            crate::support::doctor(&["scan", "--format", "json", "--min-age", "300ms"]).report();
        let found = finding(&report, "relay-pair");
        assert_eq!(found["severity"], "warning");
        assert_blames(&found, &[me()]);
        assert_blames(&finding(&report, "unread-eof"), &[upstream.pid()]);
        assert!(
            items(&report.json()["findings"]).all(|finding| finding["id"] != "peer-not-closing"),
            "{:#}",
            report.json()
        );
        // A port selects what is reported, not what explains it.
        let on_port = scan(&["--port", "8080"]).report();
        let found = finding(&on_port, "relay-pair");
        assert!(says(&found, "127.0.0.1:9000"), "{found:#}");
    });
}

/// Sends a byte on the one and reads it on the other.
fn pass_on(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"x").expect("it is connected");
    to.read_exact(&mut [0]).expect("the byte comes");
}

#[test]
fn a_relay_that_does_not_pass_on_the_end_of_one_side_is_recognised() {
    in_private_network(|| {
        let backend = TcpListener::bind("127.0.0.1:9000").expect("the port is free");
        let (_downstream, mut from_client, mut client) = pair();
        let mut to_backend = TcpStream::connect("127.0.0.1:9000").expect("the backend listens");
        let (mut served, _) = backend.accept().expect("the relay has connected");
        pass_on(&mut client, &mut from_client);
        pass_on(&mut to_backend, &mut served);
        pass_on(&mut served, &mut to_backend);
        pass_on(&mut from_client, &mut client);
        drop(client);
        let end = from_client.read(&mut [0]).expect("the client has closed");
        assert_eq!(end, 0);
        outlast(SHORT_GRACE);
        let report = scan(&["--port", "8080"]).report();
        let found = finding(&report, "relay-pair");
        assert_eq!(found["confidence"], "likely", "{found:#}");
        assert_blames(&found, &[me()]);
        assert!(says(&found, "127.0.0.1:9000"), "{found:#}");
    });
}

#[test]
fn a_server_with_an_idle_connection_of_its_own_is_no_relay() {
    in_private_network(|| {
        let database = TcpListener::bind("127.0.0.1:9000").expect("the port is free");
        let mut asks = TcpStream::connect("127.0.0.1:9000").expect("the database listens");
        let (mut answers, _) = database.accept().expect("the server has connected");
        pass_on(&mut asks, &mut answers);
        pass_on(&mut answers, &mut asks);
        let (_listener, mut server, mut client) = pair();
        pass_on(&mut client, &mut server);
        drop(client);
        let end = server.read(&mut [0]).expect("the client has closed");
        assert_eq!(end, 0);
        let report = report();
        assert_blames(&finding(&report, "unclosed-after-eof"), &[me()]);
    });
}

#[test]
fn a_descriptor_in_flight_leaves_its_connection_without_owner() {
    in_private_network(|| {
        let (_listener, server, client) = pair();
        let (sender, _receiver) = UnixStream::pair().expect("a pair of sockets");
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [server.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        let byte = [std::io::IoSlice::new(b"x")];
        sendmsg(&sender, &byte, &mut ancillary, SendFlags::empty()).expect("there is room");
        drop(server);
        drop(client);
        let report = report();
        let found = finding(&report, "unattributed-close-wait");
        assert_eq!(found["severity"], "warning");
        assert_eq!(report.json()["summary"]["close_wait"]["unattributed"], 1);
        assert_ne!(report.json()["summary"]["verdict"], "healthy");
    });
}

#[test]
fn a_wildcard_listener_shows_what_it_has_accepted_and_how_much_of_it_is_closed() {
    in_private_network(|| {
        let listener = TcpListener::bind("0.0.0.0:8080").expect("the port is free");
        let accept = || {
            let client = connect();
            (client, listener.accept().expect("a client has connected").0)
        };
        let (gone, _kept) = accept();
        drop(gone);
        let (mut stays, _served) = accept();
        stays.write_all(b"x").expect("it is connected");
        let report = report();
        let [row] = &report.listeners()[..] else {
            panic!("one listener expected: {:#}", report.json());
        };
        let accepted = &row["accepted"];
        assert_eq!(accepted["total"], 2, "{row:#}");
        assert_eq!(accepted["close_wait"], 1, "{row:#}");
        assert_eq!(accepted["unread"], 2, "{row:#}");
        assert!(accepted["oldest_ms"].is_u64(), "{row:#}");
    });
}

#[test]
fn a_healthy_listener_is_not_asked_for_all_its_connections() {
    in_private_network(|| {
        let (_listener, _server, _client) = pair();
        let report = report();
        let accepted = &report.listeners()[0]["accepted"];
        assert_eq!(accepted["close_wait"], 0, "{accepted:#}");
        assert!(accepted["total"].is_null(), "{accepted:#}");
    });
}

#[test]
fn a_leak_that_grows_is_measured_over_two_looks() {
    in_private_network(|| {
        let server = start_server(&["unclosed-after-eof"]);
        let _stays = connect();
        drop(connect());
        let feeder = thread::spawn(|| {
            for _ in 0..40 {
                thread::sleep(Duration::from_millis(50));
                drop(TcpStream::connect("127.0.0.1:8080"));
            }
        });
        outlast(SHORT_GRACE);
        let report = scan(&["--observe", "1200ms"]).report();
        let found = finding(&report, "unclosed-after-eof");
        assert_blames(&found, &[server.pid()]);
        assert!(says(&found, " a minute"), "{found:#}");
        assert_eq!(found["severity"], "warning", "{found:#}");
        // Two looks that are a second apart foretell nothing.
        assert!(!says(&found, "at that rate"), "{found:#}");
        wait_until("the feeder is done", || feeder.is_finished());
    });
}

#[test]
fn a_leak_with_keep_alive_on_says_when_the_kernel_will_look() {
    in_private_network(|| {
        let (_listener, server, client) = pair();
        set_socket_keepalive(&server, true).expect("a socket can be set");
        drop(client);
        let report = report();
        let found = finding(&report, "unread-eof");
        assert!(
            says(&found, "keep-alive is on for 1 connection"),
            "{found:#}"
        );
        drop(server);
    });
}
