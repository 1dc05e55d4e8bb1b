//! Descriptors of connections that no longer exist, and sockets that look like them. The test itself holds them.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::thread;

use crate::support::{
    Program, Report, assert_blames, connect, doctor, have, in_private_network, items, reset, run,
    says,
};
use rustix::net::{AddressFamily, SocketType, bind, connect as connect_socket, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;

/// More than a host has at rest that are not in the tables, and enough for a warning.
const MANY: usize = 120;

const SCAN_ALL: [&str; 3] = ["scan", "--format", "json"];

fn me() -> u32 {
    std::process::id()
}

/// A listener, and connections to it that their clients have reset and the server does not close.
fn leak_resets(number: usize) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:8080").expect("the port is free");
    let held = (0..number)
        .map(|_| {
            let client = connect();
            let (server, _) = listener.accept().expect("a client has connected");
            reset(client);
            server
        })
        .collect();
    (listener, held)
}

fn new_sockets() -> Vec<OwnedFd> {
    let new = |_| socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    (0..MANY).map(new).collect()
}

fn assert_silent(report: &Report) {
    report.assert_healthy();
    assert!(
        items(&report.json()["findings"]).all(|finding| finding["id"] != "dead-descriptor"),
        "{:#}",
        report.json()
    );
}

#[test]
fn leaked_connections_that_were_reset_are_found() {
    in_private_network(|| {
        let (_listener, held) = leak_resets(MANY);
        let report = doctor(&SCAN_ALL).report();
        let found = report.only("dead-descriptor");
        assert_eq!(found["severity"], "warning");
        assert_eq!(found["confidence"], "certain");
        assert_eq!(found["connections"], MANY);
        assert_eq!(found["subject"]["kind"], "process");
        assert_eq!(found["subject"]["local"], "127.0.0.1:8080");
        assert_blames(found, &[me()]);
        assert!(
            says(found, "addresses were 127.0.0.1:8080 (120)"),
            "{found:#}"
        );
        assert!(says(found, "the same ones at a second look"), "{found:#}");
        assert_eq!(report.json()["summary"]["verdict"], "degraded");
        assert_eq!(doctor(&["check"]).status.code(), Some(1));
        let other_port = doctor(&[&SCAN_ALL[..], &["--port", "8081"]].concat());
        assert_eq!(other_port.report().json()["findings"], json!([]));
        drop(held);
        assert_silent(&doctor(&SCAN_ALL).report());
    });
}

#[test]
fn a_recording_of_them_says_the_same_and_redacted_has_no_names() {
    const ADDRESS: &str = "10.20.30.40";
    in_private_network(|| {
        let added = run(Command::new("ip").args(["addr", "add", ADDRESS, "dev", "lo"]));
        assert!(added.status.success(), "{}", added.stderr);
        let listener = TcpListener::bind((ADDRESS, 9000)).expect("the port is free");
        let _held: Vec<TcpStream> = (0..MANY)
            .map(|_| {
                let client = TcpStream::connect((ADDRESS, 9000)).expect("we listen");
                let (server, _) = listener.accept().expect("a client has connected");
                reset(client);
                server
            })
            .collect();
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        for (name, options) in [("plain", &[][..]), ("redacted", &["--redact"])] {
            let file = folder.path().join(name);
            let file = file.to_str().expect("temporary paths are UTF-8");
            let recorded = doctor(&[&["record", "-o", file], options].concat());
            assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);
            let report = doctor(&[&SCAN_ALL[..], &["--from", file]].concat()).report();
            let found = report.only("dead-descriptor");
            assert_eq!(found["connections"], MANY);
            assert_eq!(found["confidence"], "certain");
            assert_eq!(says(found, ADDRESS), name == "plain", "{found:#}");
        }
    });
}

#[test]
fn a_few_reset_connections_in_a_pool_are_no_finding() {
    in_private_network(|| {
        let (_listener, _held) = leak_resets(15);
        let _others: Vec<UdpSocket> = (0..MANY)
            .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        assert_silent(&doctor(&SCAN_ALL).report());
    });
}

#[test]
fn sockets_that_were_never_connected_are_not_dead() {
    in_private_network(|| {
        let _new = new_sockets();
        let bound = new_sockets();
        for socket in &bound {
            let anywhere = "127.0.0.1:0".parse::<std::net::SocketAddr>().expect("good");
            bind(socket, &anywhere).expect("there are free ports");
        }
        let refused = new_sockets();
        for socket in &refused {
            let unused = "127.0.0.1:9".parse::<std::net::SocketAddr>().expect("good");
            connect_socket(socket, &unused).expect_err("nothing listens");
        }
        assert_silent(&doctor(&SCAN_ALL).report());
    });
}

#[test]
fn live_connections_are_not_dead() {
    in_private_network(|| {
        let (_new, _live) = (new_sockets(), pairs());
        assert_silent(&doctor(&SCAN_ALL).report());
    });
}

#[test]
fn live_connections_of_another_network_namespace_are_not_dead() {
    in_private_network(|| {
        let other = Program::start(Command::new("unshare").args(["-n", "sleep", "60"]));
        let pid = other.pid();
        let _live = thread::spawn(move || pairs_in_namespace_of(pid))
            .join()
            .expect("the thread does not fail");
        assert_silent(&doctor(&SCAN_ALL).report());
    });
}

fn pairs() -> (TcpListener, Vec<(TcpStream, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:8080").expect("the port is free");
    let pair = |_| {
        let client = connect();
        let (server, _) = listener.accept().expect("a client has connected");
        (server, client)
    };
    let pairs = (0..MANY).map(pair).collect();
    (listener, pairs)
}

fn pairs_in_namespace_of(pid: u32) -> (TcpListener, Vec<(TcpStream, TcpStream)>) {
    let link = |path: String| std::fs::read_link(path).expect("a running process has a namespace");
    let ours = link("/proc/thread-self/ns/net".to_owned());
    let its = format!("/proc/{pid}/ns/net");
    crate::support::wait_until("it has a namespace of its own", || {
        link(its.clone()) != ours
    });
    let namespace = std::fs::File::open(its).expect("it runs");
    move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&namespace),
        Some(LinkNameSpaceType::Network),
    )
    .expect("we own it");
    let up = run(Command::new("ip").args(["link", "set", "lo", "up"]));
    assert!(up.status.success(), "{}", up.stderr);
    pairs()
}

/// What a search for them asks of the kernel. Faults in all of it were injected by hand, at many more places.
const CALLS: [&str; 7] = [
    "socket",
    "sendto",
    "recvfrom",
    "getdents64",
    "openat",
    "readlinkat",
    "getxattr",
];

#[test]
fn a_system_call_that_fails_once_hides_no_leak() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let (_listener, _held) = leak_resets(MANY);
        for source in ["inet_diag", "procfs"] {
            for call in CALLS {
                for (error, when) in [("ENOMEM", 1), ("EACCES", 2), ("ENOMEM", 7)] {
                    let fault = format!("inject={call}:error={error}:when={when}");
                    let mut strace = Command::new("strace");
                    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &fault]);
                    strace.arg(env!("CARGO_BIN_EXE_closewait-doctor"));
                    let check = run(strace.args(["check", "--source", source]));
                    let status = check.status.code();
                    assert!(
                        matches!(status, Some(1..=3)),
                        "{source}, {fault}: {status:?} {}",
                        String::from_utf8_lossy(&check.stdout)
                    );
                }
            }
        }
    });
}
