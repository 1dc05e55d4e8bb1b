//! `probe`: one more connection, and what the queue and the server do.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    Nginx, Program, SHORT_GRACE, close, connect, connect_many, doctor, example, have,
    in_private_network, is_refused, items, outlast, queue, start_server, stop, talk,
    wait_for_queue,
};

/// The incident's server at its limit, with eight connections in `CLOSE_WAIT` in its queue.
pub(crate) struct StuckIncident {
    pub(crate) server: Program,
    _clients: Program,
}

impl StuckIncident {
    pub(crate) fn play(cure: &[&str]) -> Self {
        let server = Program::start(Command::new(example("incident")).arg("server").args(cure));
        server.wait_for_line("listening");
        let clients = [
            "--crowd", "9", "--close", "8", "--reset", "0", "--hold", "60",
        ];
        let clients = Program::start(
            Command::new(example("incident"))
                .arg("client")
                .args(clients),
        );
        clients.wait_for_line("holding");
        Self {
            server,
            _clients: clients,
        }
    }
}

fn probe_once(more: &[&str]) -> Value {
    let arguments = [
        "probe",
        "--port",
        "8080",
        "--format",
        "json",
        "--min-age",
        "300ms",
    ];
    doctor(&[&arguments, more].concat()).json()
}

fn probe(more: &[&str]) -> Value {
    let before = queue();
    let json = probe_once(more);
    assert_eq!(json["schema"], "closewait-doctor.probe/v1");
    assert_eq!(json["queue"]["before"], before.length, "{json:#}");
    assert_eq!(json["queue"]["limit"], before.limit, "{json:#}");
    json
}

/// The only thing that the look before found, which the probe has something to say to.
fn only_finding<'json>(json: &'json Value, id: &str) -> &'json Value {
    let findings: Vec<&Value> = items(&json["findings"]).collect();
    let [finding] = findings[..] else {
        panic!("there is one finding: {json:#}")
    };
    assert_eq!(finding["id"], id, "{json:#}");
    finding
}

#[test]
fn the_stuck_incident_accepts_one_for_each_new_connection() {
    in_private_network(|| {
        let stuck = StuckIncident::play(&[]);
        wait_for_queue(8);
        outlast(SHORT_GRACE);
        let json = probe(&["--count", "3", "--timeout", "400ms"]);

        assert_eq!(json["behaviour"], "one_per_newcomer", "{json:#}");
        assert!(
            json["headline"]
                .as_str()
                .is_some_and(|text| text.starts_with("one accepted for each new connection")),
            "{json:#}"
        );
        assert_eq!(json["outcome"], "queued", "{json:#}");
        assert_eq!(json["queue"]["before"], 8);
        assert_eq!(json["queue"]["after"], 8);
        assert_eq!(queue().length, 8);
        assert_eq!(json["left_waiting"], 3);
        for connection in items(&json["newcomers"]) {
            assert_eq!(connection["taken"], 1, "{connection:#}");
            assert_eq!(connection["waits"], true, "{connection:#}");
            assert!(connection["accepted_us"].is_null(), "{connection:#}");
        }
        let finding = only_finding(&json, "edge-triggered-stall");
        assert_eq!(finding["stance"], "supports", "{finding:#}");
        assert_eq!(finding["confidence_now"], "certain", "{finding:#}");
        let excluded = finding["excludes"].to_string();
        assert!(excluded.contains("acceptor-busy"), "{finding:#}");
        // Those that waited, without the connections of the probe.
        assert!(
            finding["headline"]
                .as_str()
                .is_some_and(|text| text.starts_with("8 connections wait")),
            "{finding:#}"
        );
        assert_eq!(json["listener"]["owners"][0]["pid"], stuck.server.pid());
    });
}

#[test]
fn a_server_whose_accept_loop_waits_for_a_slot_accepts_nothing() {
    in_private_network(|| {
        let _server = start_server(&["gated-edge", "--slots", "1"]);
        let _holds_the_slot = connect();
        wait_for_queue(0);
        for client in connect_many(3) {
            close(client);
        }
        wait_for_queue(3);
        outlast(SHORT_GRACE);
        let json = probe(&["--timeout", "400ms"]);

        assert_eq!(json["behaviour"], "accepts_nothing", "{json:#}");
        assert_eq!(json["queue"]["after"], 4, "{json:#}");
        assert_eq!(queue().length, 4);
        let finding = only_finding(&json, "edge-triggered-stall");
        assert_eq!(finding["stance"], "corrects", "{finding:#}");
    });
}

#[test]
fn a_stopped_server_accepts_nothing_and_that_is_what_was_found() {
    in_private_network(|| {
        let server = start_server(&["healthy"]);
        stop(server.pid());
        let _waits = connect();
        wait_for_queue(1);
        outlast(SHORT_GRACE);
        let json = probe(&["--timeout", "300ms"]);
        assert_eq!(json["behaviour"], "accepts_nothing", "{json:#}");
        let finding = only_finding(&json, "acceptor-stopped");
        assert_eq!(finding["stance"], "supports", "{finding:#}");
        assert_eq!(
            finding["confidence_now"], finding["confidence"],
            "other causes look the same: {finding:#}"
        );
    });
}

#[test]
fn nginx_accepts_and_answers_only_when_it_is_asked() {
    in_private_network(|| {
        if !have("nginx") {
            return;
        }
        let nginx = Nginx::start();
        let silent = probe(&["--count", "3"]);
        assert_eq!(silent["behaviour"], "accepts", "{silent:#}");
        assert_eq!(silent["queue"]["after"], 0, "{silent:#}");
        assert_eq!(queue().length, 0);
        assert_eq!(silent["left_waiting"], 0, "{silent:#}");
        assert_eq!(items(&silent["findings"]).count(), 0, "{silent:#}");
        for connection in items(&silent["newcomers"]) {
            assert_eq!(connection["answered_bytes"], 0, "{connection:#}");
            assert!(connection["accepted_us"].is_u64(), "{connection:#}");
        }
        let workers = items(&silent["listener"]["owners"]);
        let worker = nginx.worker();
        assert!(
            workers.into_iter().any(|owner| owner["pid"] == worker),
            "{silent:#}"
        );

        let mut request = tempfile::NamedTempFile::new().expect("there is room");
        request
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .expect("the file is ours");
        let path = request.path().to_str().expect("temporary paths are UTF-8");
        let asked = probe(&["--payload", path]);
        assert_eq!(asked["behaviour"], "answers", "{asked:#}");
        assert_eq!(asked["outcome"], "answered", "{asked:#}");
        let answered = asked["newcomers"][0]["answered_bytes"].as_u64();
        assert!(answered > Some(5), "{asked:#}");
    });
}

#[test]
fn a_server_that_missed_one_edge_drains_fully_when_another_comes() {
    in_private_network(|| {
        let _server = start_server(&["stall", "--stops", "at-limit", "--limit", "2"]);
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let mut client = connect();
                talk(&mut client);
                client
            })
            .collect();
        let waiting = connect();
        wait_for_queue(1);
        outlast(SHORT_GRACE);
        for client in clients {
            close(client);
        }
        outlast(SHORT_GRACE);
        assert_eq!(queue().length, 1);
        let json = probe(&[]);
        assert_eq!(json["behaviour"], "drains_fully", "{json:#}");
        assert_eq!(json["queue"]["after"], 0, "{json:#}");
        let finding = only_finding(&json, "edge-triggered-stall");
        assert_eq!(finding["stance"], "supports", "{finding:#}");
        drop(waiting);
    });
}

#[test]
fn connections_that_are_closed_at_once_are_told_from_those_that_are_served() {
    in_private_network(|| {
        let _server = StuckIncident::play(&["--cure", "drain"]);
        wait_for_queue(0);
        let json = probe(&[]);
        assert_eq!(json["behaviour"], "closed_at_once", "{json:#}");
        assert!(json["newcomers"][0]["closed_us"].is_u64(), "{json:#}");
    });
}

#[test]
fn a_listener_that_waits_for_data_is_not_taken_for_a_stuck_one() {
    const SERVER: &str = "
import socket, time
listener = socket.create_server(('127.0.0.1', 8080))
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
print('ready', flush=True)
clients = []
while True:
    clients.append(listener.accept())";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", SERVER]));
        server.wait_for_line("ready");
        let json = probe(&["--timeout", "300ms"]);
        assert_eq!(json["behaviour"], "awaits_data", "{json:#}");
        assert_eq!(json["newcomers"][0]["kept_out"], true, "{json:#}");
        assert_eq!(json["left_waiting"], 0, "{json:#}");
    });
}

#[test]
fn a_full_queue_refuses() {
    in_private_network(|| {
        let _server = start_server(&["--backlog", "1", "never-accepts"]);
        let _waiting = connect_many(2);
        assert!(is_refused());
        outlast(SHORT_GRACE);
        let json = probe(&["--count", "5", "--timeout", "200ms"]);
        assert_eq!(json["behaviour"], "refuses", "{json:#}");
        assert_eq!(items(&json["newcomers"]).count(), 1, "{json:#}");
        assert_eq!(json["newcomers"][0]["refusal"], "no_answer", "{json:#}");
        assert_eq!(json["outcome"], "dropped", "{json:#}");
        assert_eq!(queue().length, 2);
        let overflow = items(&json["findings"])
            .find(|finding| finding["id"] == "accept-queue-overflow")
            .unwrap_or_else(|| panic!("{json:#}"));
        assert_eq!(overflow["stance"], "supports", "{json:#}");
    });
}

#[test]
fn a_listener_in_another_network_namespace_is_probed_from_within() {
    in_private_network(|| {
        let program = example("server");
        let start = "ip link set lo up && exec \"$0\" healthy";
        let server = Program::start(
            Command::new("unshare")
                .args(["-n", "sh", "-c", start])
                .arg(program),
        );
        server.wait_for_line("ready");
        let pid = server.pid().to_string();
        let here = doctor(&["probe", "--port", "8080"]);
        assert!(
            here.complaint().contains("nothing listens on port 8080"),
            "{}",
            here.stderr
        );
        let there = doctor(&[
            "probe", "--port", "8080", "--netns", &pid, "--format", "json",
        ])
        .json();
        assert_eq!(there["behaviour"], "accepts", "{there:#}");
        assert_eq!(there["listener"]["netns"], pid, "{there:#}");
    });
}

#[test]
fn only_listeners_of_this_host_are_probed() {
    in_private_network(|| {
        let _server = start_server(&["--address", "0.0.0.0", "healthy"]);
        let elsewhere = doctor(&["probe", "198.51.100.7:8080"]);
        assert!(
            elsewhere
                .complaint()
                .contains("is not an address of this network namespace"),
            "{}",
            elsewhere.stderr
        );
        let refused = doctor(&["probe", "127.0.0.1:8081"]);
        assert!(
            refused.complaint().contains("nothing listens"),
            "{}",
            refused.stderr
        );
        let which = doctor(&["probe"]);
        assert!(
            which.complaint().contains("which listener"),
            "{}",
            which.stderr
        );
    });
}

#[test]
fn a_dual_stack_listener_is_probed_by_either_address() {
    in_private_network(|| {
        let _server = start_server(&["--address", "::", "healthy"]);
        for address in ["[::1]:8080", "127.0.0.1:8080"] {
            let json = doctor(&["probe", address, "--format", "json"]).json();
            assert_eq!(json["behaviour"], "accepts", "{json:#}");
            assert_eq!(json["listener"]["address"], address);
            assert!(json["newcomers"][0]["accepted_us"].is_u64(), "{json:#}");
        }
        let json = doctor(&["probe", "--port", "8080", "--format", "json"]).json();
        assert_eq!(json["behaviour"], "accepts", "{json:#}");
    });
}

/// Many listeners on one address. Nothing accepts from the first, and in its queue ten wait.
const GROUP: &str = "
import socket, threading
def listen():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(('127.0.0.1', 8080))
    listener.listen(50)
    return listener
def serve(listener):
    clients = []
    while True:
        clients.append(listener.accept())
stuck = listen()
waiting = [socket.create_connection(('127.0.0.1', 8080)) for _ in range(10)]
group = [listen() for _ in range(20)]
for listener in group:
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
print('ready', flush=True)
threading.Event().wait()";

#[test]
fn a_connection_that_another_listener_of_the_group_accepts_says_nothing_about_the_stuck_one() {
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", GROUP]));
        server.wait_for_line("ready");
        outlast(SHORT_GRACE);
        // One of 21 listeners is stuck: sooner or later a connection goes to another.
        let json = (0..20)
            .map(|_| probe_once(&["--timeout", "300ms"]))
            .find(|json| json["newcomers"][0]["accepted_us"].is_u64())
            .expect("a connection is accepted");
        assert_eq!(json["behaviour"], "taken_elsewhere", "{json:#}");
        assert!(
            json["headline"]
                .as_str()
                .is_some_and(|text| text.contains("another listener of the group")),
            "{json:#}"
        );
        assert_eq!(json["queue"]["before"], json["queue"]["after"], "{json:#}");
        for finding in items(&json["findings"]) {
            assert_eq!(finding["stance"], "silent", "{json:#}");
        }
        assert!(items(&json["findings"]).count() > 0, "{json:#}");
    });
}

#[test]
fn a_server_at_its_limit_that_missed_one_edge_drains_fully_though_it_closes_the_new_one() {
    // Edge-triggered; it sleeps through the edge of those that come first, and closes all from then on.
    const SERVER: &str = "
import select, socket
listener = socket.create_server(('127.0.0.1', 8080))
listener.setblocking(False)
events = select.epoll()
events.register(listener, select.EPOLLIN | select.EPOLLET)
print('ready', flush=True)
events.poll()
while True:
    events.poll()
    try:
        while True:
            listener.accept()[0].close()
    except BlockingIOError:
        pass";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", SERVER]));
        server.wait_for_line("ready");
        stop(server.pid());
        let _waiting = connect_many(10);
        let pid = Pid::from_raw(server.pid().cast_signed()).expect("a pid");
        kill_process(pid, Signal::CONT).expect("it is ours");
        wait_for_queue(10);
        outlast(SHORT_GRACE);
        let json = probe(&[]);
        assert_eq!(json["behaviour"], "drains_fully", "{json:#}");
        assert_eq!(json["newcomers"][0]["taken"], 11, "{json:#}");
        assert!(json["newcomers"][0]["closed_us"].is_u64(), "{json:#}");
        let finding = only_finding(&json, "edge-triggered-stall");
        assert_eq!(finding["stance"], "supports", "{finding:#}");
    });
}

#[test]
fn a_listener_on_every_address_is_probed_by_each_way_to_write_it() {
    in_private_network(|| {
        let _server = start_server(&["--address", "0.0.0.0", "healthy"]);
        for address in ["0.0.0.0:8080", "[::ffff:127.0.0.1]:8080"] {
            let json = doctor(&["probe", address, "--format", "json"]).json();
            assert_eq!(json["behaviour"], "accepts", "{json:#}");
            assert_eq!(json["listener"]["address"], "127.0.0.1:8080", "{json:#}");
            assert!(json["newcomers"][0]["accepted_us"].is_u64(), "{json:#}");
        }
    });
}

#[test]
fn more_connections_than_workers_find_a_healthy_server_accepting() {
    in_private_network(|| {
        let _server = start_server(&["gated", "--workers", "2"]);
        let json = probe(&["--count", "6", "--timeout", "2s"]);
        assert_eq!(json["behaviour"], "accepts", "{json:#}");
        assert_eq!(items(&json["newcomers"]).count(), 6, "{json:#}");
        assert_eq!(json["left_waiting"], 0, "{json:#}");
    });
}

#[test]
fn a_server_whose_workers_do_not_notice_a_close_gets_no_advice_about_epoll() {
    in_private_network(|| {
        let _server = start_server(&["descriptor-limit", "--descriptors", "12", "--then", "stall"]);
        let json = probe(&["--count", "12", "--timeout", "200ms"]);
        assert_eq!(json["behaviour"], "accepts_nothing", "{json:#}");
        let remedies = json["remedies"].to_string();
        assert!(!remedies.contains("EAGAIN"), "{json:#}");
    });
}

#[test]
fn what_waits_at_another_address_of_the_port_did_not_come_to_this_queue() {
    in_private_network(|| {
        let _server = start_server(&["never-accepts"]);
        let _other = start_server(&["--address", "127.0.0.2", "never-accepts"]);
        let enough = AtomicBool::new(false);
        let json = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut clients = Vec::new();
                while !enough.load(Ordering::Relaxed) && clients.len() < 200 {
                    clients.push(TcpStream::connect("127.0.0.2:8080").expect("it listens"));
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let probe = ["probe", "127.0.0.1:8080", "--format", "json"];
            let json = doctor(&[&probe[..], &["--timeout", "400ms"]].concat()).json();
            enough.store(true, Ordering::Relaxed);
            json
        });
        assert_eq!(json["behaviour"], "accepts_nothing", "{json:#}");
        assert_eq!(json["newcomers"][0]["taken"], 0, "{json:#}");
        // The port alone would not say which.
        let remedies = json["remedies"].to_string();
        assert!(remedies.contains(" relieve 127.0.0.1:8080 "), "{json:#}");
    });
}

#[test]
fn the_last_place_in_a_queue_is_left_to_a_client() {
    in_private_network(|| {
        let _server = start_server(&["--backlog", "4", "never-accepts"]);
        let _waiting = connect_many(2);
        let json = probe(&["--count", "10", "--timeout", "100ms"]);
        assert_eq!(items(&json["newcomers"]).count(), 2, "{json:#}");
        assert!(
            json["evidence"].to_string().contains("stopped after 2"),
            "{json:#}"
        );
        assert!(!is_refused());
    });
}

/// An application that accepts every connection, and serves none: its workers wait for a lock that is
/// never released.
const DEADLOCKED: &str = "
import socket, threading
listener = socket.create_server(('127.0.0.1', 8080))
lock = threading.Lock()
lock.acquire()
def work(client):
    lock.acquire()
    client.sendall(b'done')
print('ready', flush=True)
while True:
    client = listener.accept()[0]
    threading.Thread(target=work, args=(client,), daemon=True).start()";

#[test]
fn a_server_that_accepts_and_parks_is_accepted_and_never_healthy() {
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", DEADLOCKED]));
        server.wait_for_line("ready");
        let request = ["--send", "GET / HTTP/1.0\\r\\n\\r\\n", "--wait", "300ms"];
        let json = probe(&request);
        assert_eq!(json["outcome"], "accepted", "{json:#}");
        assert_eq!(json["behaviour"], "accepts", "{json:#}");
        assert_eq!(json["newcomers"][0]["sent_bytes"], 18, "{json:#}");
        assert_eq!(json["newcomers"][0]["answered_bytes"], 0, "{json:#}");

        let table = doctor(&[&["probe", "--port", "8080"], &request[..]].concat());
        assert_eq!(table.status.code(), Some(0), "{}", table.stderr);
        let text = String::from_utf8_lossy(&table.stdout);
        assert!(text.starts_with("ACCEPTED"), "{text}");
        assert!(text.contains("accepted is not served"), "{text}");
        assert!(!text.to_lowercase().contains("healthy"), "{text}");
    });
}

/// A server that answers each line with its bytes in another case.
const ECHO: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 8080))
print('ready', flush=True)
while True:
    client = listener.accept()[0]
    client.sendall(client.recv(100).swapcase())
    client.close()";

#[test]
fn bytes_that_come_back_are_an_answer() {
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", ECHO]));
        server.wait_for_line("ready");
        let json = probe(&["--send", "\\x41b\\n", "--wait", "5s"]);
        assert_eq!(json["outcome"], "answered", "{json:#}");
        assert_eq!(json["behaviour"], "answers", "{json:#}");
        assert_eq!(json["newcomers"][0]["answered_bytes"], 3, "{json:#}");
        let table = doctor(&["probe", "--port", "8080", "--send", "x"]);
        let text = String::from_utf8_lossy(&table.stdout);
        assert!(text.starts_with("ANSWERED"), "{text}");
    });
}

#[test]
fn a_payload_that_never_ends_is_refused_at_once() {
    in_private_network(|| {
        let _server = start_server(&["healthy"]);
        let folder = tempfile::tempdir().expect("there is room");
        let fifo = folder.path().join("fifo");
        let made = Command::new("mkfifo").arg(&fifo).status();
        assert!(made.is_ok_and(|status| status.success()));
        let fifo = fifo.to_str().expect("temporary paths are UTF-8");
        for payload in [fifo, "/dev/zero"] {
            let run = doctor(&["probe", "--port", "8080", "--payload", payload]);
            assert!(
                run.complaint().contains("not an ordinary file"),
                "{}",
                run.stderr
            );
        }
        let unknown = doctor(&["probe", "--port", "8080", "--send", "\\q"]);
        assert!(
            unknown.complaint().contains("unknown escape"),
            "{}",
            unknown.stderr
        );
    });
}
