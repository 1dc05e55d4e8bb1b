//! A target that changes or ends on the way: a clear word, and no harm.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{
    Aid, descriptors, headline, helper_waits, listener_lines, registrations, signal, stick,
    with_faults,
};
use crate::support::{
    Program, SHORT_GRACE, connect, connect_many, doctor_command, have, in_private_network, outlast,
    queue, start_server, wait_for_queue, wait_until,
};

/// A server that is stuck, and on SIGUSR1 does something to its descriptors.
const SHIFTY: &str = "
import os, select, signal, socket
listener = socket.create_server(('127.0.0.1', 8080))
listener.setblocking(False)
events = select.epoll()
events.register(listener, select.EPOLLIN | select.EPOLLET)
def change(*_):
    global listener, events, other
    CHANGE
    print('changed', flush=True)
signal.signal(signal.SIGUSR1, change)
print('ready', flush=True)
clients = []
while True:
    for fd, _ in events.poll():
        if fd == 3:
            clients.append(listener.accept())";

/// While the helper is on its way, the server changes this.
fn assert_not_fooled(change: &str, word: &str) {
    if !have("strace") || !have("python3") {
        return;
    }
    let server = SHIFTY.replace("CHANGE", change);
    let server = Program::start(Command::new("python3").args(["-c", &server]));
    server.wait_for_line("ready");
    let _clients = stick(&server, 4);
    let before = registrations(server.pid());
    let aid = Aid::new();
    let strace = std::thread::scope(|scope| {
        let doctor = scope.spawn(|| {
            // The helper takes its time before it reaches for the process.
            with_faults(
                &aid,
                &["inject=pidfd_open:delay_enter=1500000"],
                &["--method", "rearm"],
            )
        });
        wait_until("the helper has begun", helper_waits);
        signal(server.pid(), rustix::process::Signal::USR1);
        server.wait_for_line("changed");
        doctor.join().expect("it does not panic")
    });
    let json = strace.any_json();
    let changed = registrations(server.pid());
    assert_ne!(changed, before, "the server did change something");
    assert_eq!(json["outcome"], "failed", "{json:#}");
    assert!(headline(&json).contains(word), "{json:#}");
    let counted = descriptors(server.pid());
    outlast(SHORT_GRACE);
    assert_eq!(registrations(server.pid()), changed);
    assert_eq!(descriptors(server.pid()), counted);
}

#[test]
fn another_epoll_set_under_the_same_number_does_not_fool_it() {
    in_private_network(|| {
        assert_not_fooled(
            "other = select.epoll(); os.dup2(other.fileno(), events.fileno())",
            "does not hold the listener any more",
        );
    });
}

#[test]
fn another_socket_under_the_same_number_does_not_fool_it() {
    in_private_network(|| {
        assert_not_fooled(
            "other = listener.dup(); events.unregister(3); \
             s = socket.create_server(('127.0.0.1', 8081)); os.dup2(s.fileno(), 3)",
            "is not the listener any more",
        );
    });
}

#[test]
fn another_listener_registered_in_the_same_way_does_not_fool_it() {
    in_private_network(|| {
        assert_not_fooled(
            "other = listener.dup(); events.unregister(3); \
             s = socket.create_server(('127.0.0.1', 8081)); s.setblocking(False); \
             os.dup2(s.fileno(), 3); events.register(3, select.EPOLLIN | select.EPOLLET)",
            "is not the listener any more",
        );
    });
}

#[test]
fn a_mask_that_the_server_changes_meanwhile_is_the_servers() {
    in_private_network(|| {
        assert_not_fooled("events.modify(3, 0)", "has changed the mask");
    });
}

#[test]
fn a_set_without_the_listener_is_left_alone() {
    in_private_network(|| {
        assert_not_fooled(
            "events.unregister(3)",
            "does not hold the listener any more",
        );
    });
}

#[test]
fn a_target_that_ends_midway_is_said_and_its_port_is_free() {
    in_private_network(|| {
        let server = start_server(&["gated-edge"]);
        let _holds_the_slot = connect();
        wait_for_queue(0);
        let _waiting = connect_many(2);
        wait_for_queue(2);
        outlast(SHORT_GRACE);
        let aid = Aid::new();
        let json = std::thread::scope(|scope| {
            let doctor = scope.spawn(|| aid.run(&["--port", "8080", "--yes"]).any_json());
            wait_until("the helper has begun", helper_waits);
            drop(server);
            doctor.join().expect("it does not panic")
        });
        assert_eq!(json["outcome"], "failed", "{json:#}");
        let says = headline(&json);
        assert!(
            says.contains("has ended") || says.contains("was closed"),
            "{json:#}"
        );
        assert!(crate::support::queues().is_empty());
        let _again = start_server(&["healthy"]);
    });
}

/// Asks a helper process one thing.
fn ask_helper(registration: &Value, request: &str) -> Value {
    let task = json!({ "registration": registration }).to_string();
    let mut helper = doctor_command(&["helper", "/proc", &task])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the doctor is built");
    let mut input = helper.stdin.take().expect("it is piped");
    input
        .write_all(format!("{request}\n").as_bytes())
        .expect("it listens");
    drop(input);
    let output = helper.wait_with_output().expect("it is our child");
    serde_json::from_slice(&output.stdout).expect("it answers")
}

#[test]
fn each_part_of_the_identity_is_checked() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let clients = stick(&server, 3);
        let pid = server.pid();
        let before = listener_lines(pid);
        let field = |name: &str| {
            let (_, rest) = before[0].split_once(name).expect("the field is there");
            let text = rest.split_whitespace().next().expect("it has a value");
            u64::from_str_radix(text, 16).expect("it is hexadecimal")
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let started: u64 = stat
            .rsplit_once(") ")
            .and_then(|(_, fields)| fields.split_whitespace().nth(19)?.parse().ok())
            .expect("field 22");
        let right = json!({
            "listener": {
                "pid": pid, "tid": pid, "started": started, "fd": 3, "inode": field("ino:"),
            },
            "epoll_fd": 4, "target_fd": 3, "events": field("events: "), "data": field("data:"),
            "device": field("sdev:"), "spare": 100,
        });
        let again = format!(
            r#"{{"set":{{"events":{},"guard":false}}}}"#,
            field("events: ")
        );
        for (part, value) in [
            ("/listener/started", json!(started + 1)),
            ("/listener/inode", json!(field("ino:") + 1)),
            ("/listener/fd", json!(4)),
            ("/device", json!(field("sdev:") + 1)),
            ("/data", json!(field("data:") + 1)),
            ("/events", json!(1)),
            ("/target_fd", json!(7)),
            ("/epoll_fd", json!(3)),
        ] {
            let mut wrong = right.clone();
            *wrong.pointer_mut(part).expect("the part is there") = value;
            let answer = ask_helper(&wrong, &again);
            assert!(
                answer["fault"].is_object() || answer["fault"] == "gone",
                "{part}: {answer}"
            );
            assert_eq!(queue().length, 2, "{part}");
            assert_eq!(listener_lines(pid), before, "{part}");
        }
        let answer = ask_helper(&right, &again);
        assert_eq!(answer["done"], field("events: "), "{answer}");
        wait_for_queue(1);
        drop(clients);
    });
}

#[test]
fn what_the_server_registers_anew_is_not_undone() {
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let change = "events.modify(3, select.EPOLLIN | select.EPOLLPRI)";
        let server = SHIFTY.replace("CHANGE", change);
        let server = Program::start(Command::new("python3").args(["-c", &server]));
        server.wait_for_line("ready");
        let _clients = stick(&server, 4);
        let aid = Aid::new();
        aid.comes_to("relieved", &["--method", "level", "--yes", "--watch", "1s"]);
        signal(server.pid(), rustix::process::Signal::USR1);
        server.wait_for_line("changed");
        let changed = registrations(server.pid());
        aid.comes_to("nothing_to_do", &["--undo", "--yes"]);
        assert_eq!(registrations(server.pid()), changed);
        assert!(aid.is_empty());
    });
}
