//! `relieve` where others are near: listeners of the same port, processes that share a set, clients that trickle through.

use std::net::TcpStream;
use std::process::Command;

use super::other_means::is_open;
use super::{Aid, headline, registrations, resume, steps};
use crate::support::{
    PORT, Program, SHORT_GRACE, close, connect, connect_many, have, in_private_network, outlast,
    queue, queues, stop, wait_for_queue, wait_until,
};

fn python(server: &str) -> Program {
    let script = format!("import os, select, socket, sys, time\n{server}");
    let server = Program::start(Command::new("python3").args(["-c", &script]));
    server.wait_for_line("ready");
    server
}

#[test]
fn drain_leaves_clients_that_wait_at_another_address() {
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let _server = python(
            "
listeners = [socket.create_server((address, 8080)) for address in ('127.0.0.1', '127.0.0.2')]
print('ready', flush=True)
time.sleep(600)
",
        );
        for _ in 0..3 {
            close(TcpStream::connect(("127.0.0.2", PORT)).expect("it listens"));
        }
        outlast(SHORT_GRACE);
        let live = connect_many(3);
        wait_until("all wait", || {
            queues().iter().all(|queue| queue.length == 3)
        });
        outlast(SHORT_GRACE);
        let aid = Aid::new();
        let json = aid.run(&["127.0.0.1:8080", "--yes"]).any_json();
        assert_eq!(json["outcome"], "unchanged", "{json:#}");
        assert_eq!(json["before"]["close_wait"], 0, "{json:#}");
        assert!(live.iter().all(is_open), "{json:#}");

        let json = aid.run(&["127.0.0.2:8080", "--yes"]).any_json();
        assert_eq!(json["outcome"], "relieved", "{json:#}");
        assert_eq!(steps(&json, "accept and close").len(), 3, "{json:#}");
        assert!(live.iter().all(is_open), "{json:#}");
    });
}

/// Accepts one for each edge, from a set that its children share.
const SHARED_SET: &str = "
listener = socket.create_server(('127.0.0.1', 8080))
listener.setblocking(False)
edges = select.epoll()
edges.register(listener, select.EPOLLIN | select.EPOLLET)
children = [pid for pid in (os.fork(), os.fork()) if pid]
print('ready', flush=True)
while True:
    edges.poll()
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        pass
";

#[test]
fn a_set_that_processes_share_is_changed_once_and_undone_by_process() {
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = python(SHARED_SET);
        let group = server.pid().to_string();
        let signal = |name: &str| {
            let sent = Command::new("pkill").args([name, "-g", &group]).status();
            assert!(sent.is_ok_and(|status| status.success()), "{name}");
        };
        signal("-STOP");
        let _clients = connect_many(9);
        signal("-CONT");
        wait_until("some are stuck", || (1..9).contains(&queue().length));
        outlast(SHORT_GRACE);
        let before = registrations(server.pid());
        let aid = Aid::new();
        let json = aid.comes_to("relieved", &["--method", "level", "--yes", "--watch", "1s"]);
        assert!(
            json["log"].to_string().contains("shares its epoll set"),
            "{json:#}"
        );
        assert_ne!(registrations(server.pid()), before);
        assert_eq!(queue().length, 0);

        let pid = changed_process(&json);
        let json = aid.run(&["--pid", &pid, "--undo", "--yes"]).json();
        assert_eq!(json["outcome"], "undone", "{json:#}");
        assert_eq!(registrations(server.pid()), before);
        assert!(aid.is_empty());
    });
}

/// The process of which the log says that its mask was changed.
fn changed_process(json: &serde_json::Value) -> String {
    let changed = steps(json, "level").into_iter().find_map(|entry| {
        let changed = entry["result"].as_str()?.starts_with("the mask was");
        let target = entry["target"].as_str()?.strip_prefix("process ")?;
        changed.then(|| target.split(':').next().map(str::to_owned))?
    });
    changed.unwrap_or_else(|| panic!("one was changed: {json:#}"))
}

/// Comes back to its set until it may accept the next, a few in a second.
const TRICKLE: &str = "
listener = socket.create_server(('127.0.0.1', 8080))
listener.setblocking(False)
edges = select.epoll()
edges.register(listener, select.EPOLLIN | select.EPOLLET)
print('ready', flush=True)
last = time.monotonic()
while True:
    edges.poll()
    if time.monotonic() - last > 0.3:
        last = time.monotonic()
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            pass
";

#[test]
fn a_trickle_of_clients_hides_no_spinning() {
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = python(TRICKLE);
        stop(server.pid());
        let _clients = connect_many(40);
        resume(server.pid());
        outlast(SHORT_GRACE);
        let _wakes = connect();
        wait_for_queue(queue().length);
        outlast(SHORT_GRACE);
        let before = registrations(server.pid());
        let aid = Aid::new();
        let json = aid.comes_to("rolled_back", &["--method", "level", "--yes"]);
        assert!(headline(&json).contains("spins"), "{json:#}");
        assert_eq!(registrations(server.pid()), before);
        assert!(queue().length > 10);
        assert!(aid.is_empty());
    });
}
