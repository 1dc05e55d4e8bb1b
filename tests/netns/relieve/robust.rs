//! What goes wrong on the way: killed at any step, a target that changes or ends, missing rights, other namespaces. A
//! clear word, and no harm.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Aid, descriptors, headline, listener_lines, registrations, steps, stick};
use crate::privileges::doctor_for_everybody;
use crate::support::{
    Program, Run, SHORT_GRACE, close, connect, connect_many, doctor, doctor_command, example, have,
    have_root, in_private_network, outlast, patient, queue, run, stop, talk, wait_for_queue,
    wait_until,
};

/// Runs `relieve --yes` with faults injected into its system calls, and its helper's.
fn with_faults(aid: &Aid, faults: &[&str], more: &[&str]) -> Run {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null"]);
    for fault in faults {
        strace.args(["-e", fault]);
    }
    let doctor = env!("CARGO_BIN_EXE_closewait-doctor");
    let arguments = aid.arguments(&["--port", "8080", "--yes"]);
    run(strace.arg(doctor).args(arguments).args(more))
}

/// The helper is killed at each of its calls that change something, and then its parent as well.
fn assert_survives_kills(patient_arguments: &[&str], method: &[&str], calls: usize) {
    if !have("strace") {
        return;
    }
    let server = patient(patient_arguments);
    let before = listener_lines(server.pid());
    assert_eq!(before.len(), 1);
    let aid = Aid::new();
    let mut clients = Vec::new();
    for call in 1..=calls {
        stick_more(&server, &mut clients);
        let kill = format!("inject=epoll_ctl:signal=KILL:when={call}");
        let json = with_faults(&aid, &[&kill], method).any_json();
        assert_eq!(json["outcome"], "failed", "call {call}: {json:#}");
        let repairs = steps(&json, "repair");
        assert_eq!(repairs.len(), 1, "call {call}: {json:#}");
        assert_eq!(repairs[0]["ok"], true, "call {call}: {json:#}");
        assert_eq!(listener_lines(server.pid()), before, "call {call}");
        assert!(aid.is_empty(), "call {call}");
    }
    for call in 1..=calls {
        stick_more(&server, &mut clients);
        let kill = format!("inject=epoll_ctl:signal=KILL:when={call}");
        // Where the first helper is waited for, its successor has not been told anything yet.
        let both = with_faults(&aid, &[&kill, "inject=wait4:signal=KILL"], method);
        assert!(both.stdout.is_empty(), "call {call}: both were killed");
        let left = listener_lines(server.pid());
        assert!(!left.is_empty(), "call {call}: the server is deaf");
        let undone = if left == before {
            "nothing_to_do"
        } else {
            let refused = aid.comes_to("failed", &["--yes"]);
            assert!(headline(&refused).contains("--undo"), "{refused:#}");
            "undone"
        };
        aid.comes_to(undone, &["--undo", "--yes"]);
        assert_eq!(listener_lines(server.pid()), before, "call {call}");
        assert!(aid.is_empty(), "call {call}");
    }
    if queue().length > 0 {
        aid.comes_to("relieved", &["--yes"]);
    }
    for client in &mut clients {
        talk(client);
    }
}

/// What a repair does wakes the server as well, so some are added for each fault.
fn stick_more(server: &Program, clients: &mut Vec<std::net::TcpStream>) {
    let waiting = queue().length;
    stop(server.pid());
    clients.extend(connect_many(8));
    super::resume(server.pid());
    wait_for_queue(waiting + 7);
    outlast(SHORT_GRACE);
}

#[test]
fn killed_at_any_step_of_rearm_it_leaves_nothing_half_registered() {
    in_private_network(|| assert_survives_kills(&["stall"], &["--method", "rearm"], 1));
}

#[test]
fn killed_at_any_step_of_an_exclusive_rearm_it_leaves_nothing_half_registered() {
    in_private_network(|| {
        assert_survives_kills(&["stall", "--exclusive"], &["--method", "rearm"], 4);
    });
}

#[test]
fn killed_at_any_step_of_level_it_leaves_nothing_half_registered() {
    in_private_network(|| assert_survives_kills(&["stall"], &["--method", "level"], 1));
}

#[test]
fn killed_while_it_watches_it_brings_back_the_edge() {
    in_private_network(|| {
        let server = patient(&["stall"]);
        let _clients = stick(&server, 6);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        let arguments = aid.arguments(&["--port", "8080", "--yes", "--method", "level"]);
        let mut relieve = doctor_command(&arguments)
            .arg("--watch=20s")
            .stdout(Stdio::null())
            .spawn()
            .expect("the doctor is built");
        wait_until("the mask is changed", || {
            listener_lines(server.pid()) != before
        });
        wait_for_queue(0);
        relieve.kill().expect("it is our child");
        relieve.wait().expect("it is our child");
        wait_until("the mask is as it was", || {
            listener_lines(server.pid()) == before
        });
    });
}

#[test]
fn killed_with_its_helper_while_it_watches_it_can_be_undone() {
    in_private_network(|| {
        let server = patient(&["stall"]);
        let _clients = stick(&server, 6);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        let arguments = aid.arguments(&["--port", "8080", "--yes", "--method", "level"]);
        let mut relieve = doctor_command(&arguments)
            .arg("--watch=20s")
            .stdout(Stdio::null())
            .spawn()
            .expect("the doctor is built");
        wait_until("the mask is changed", || {
            listener_lines(server.pid()) != before
        });
        let helper = helper().expect("it is watching");
        stop(helper);
        relieve.kill().expect("it is our child");
        relieve.wait().expect("it is our child");
        signal(helper, rustix::process::Signal::KILL);
        wait_until("the helper has ended", || !helper_waits());
        assert_ne!(listener_lines(server.pid()), before);

        let refused = aid.comes_to("failed", &["--yes"]);
        assert!(headline(&refused).contains("--undo"), "{refused:#}");
        aid.comes_to("undone", &["--undo", "--yes"]);
        assert_eq!(listener_lines(server.pid()), before);
        assert!(aid.is_empty());
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

#[test]
fn a_descriptor_that_was_inherited_is_not_in_the_way() {
    in_private_network(|| {
        let server = patient(&["stall"]);
        let _clients = stick(&server, 4);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        let shell = "exec 3</dev/null 4</dev/null; exec \"$0\" \"$@\"";
        let run = run(Command::new("sh")
            .args(["-c", shell, env!("CARGO_BIN_EXE_closewait-doctor")])
            .args(aid.arguments(&["--port", "8080", "--yes"])));
        let json = run.json();
        assert_eq!(json["outcome"], "relieved", "{json:#}");
        assert_eq!(listener_lines(server.pid()), before);
    });
}

#[test]
fn killed_at_whatever_it_writes_it_leaves_the_registration_as_it_was() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let server = patient(&["stall", "--exclusive"]);
        let clients = stick(&server, 9);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        for call in 1..=4 {
            let mut strace = Command::new("strace");
            // The parent alone, at each line that it writes to the journal or to its helper.
            strace.args(["-qq", "-o", "/dev/null", "-e"]);
            strace.arg(format!("inject=write:signal=KILL:when={call}"));
            let doctor = env!("CARGO_BIN_EXE_closewait-doctor");
            run(strace
                .arg(doctor)
                .args(aid.arguments(&["--port", "8080", "--yes"])));
            wait_until("the registration is as it was", || {
                listener_lines(server.pid()) == before
            });
            aid.run(&["--port", "8080", "--undo", "--yes"]).json();
            assert!(aid.is_empty());
        }
        assert_eq!(listener_lines(server.pid()), before);
        drop(clients);
    });
}

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
        wait_until("the helper has begun", || helper_waits());
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

/// The helper that is there, in the network namespace of this test.
fn helper() -> Option<u32> {
    let processes = std::fs::read_dir("/proc").expect("procfs is mounted");
    let own_network = std::fs::read_link("/proc/self/ns/net").expect("we have one");
    let folders = processes.filter_map(|entry| Some(entry.ok()?.path()));
    folders
        .filter(|folder| {
            let command_line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
            let network = std::fs::read_link(folder.join("ns/net"));
            command_line.split(|byte| *byte == 0).nth(1) == Some(b"hand")
                && network.is_ok_and(|network| network == own_network)
        })
        .find_map(|folder| folder.file_name()?.to_str()?.parse().ok())
}

fn helper_waits() -> bool {
    helper().is_some()
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a pid"), signal).expect("the process is ours");
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
        let server = patient(&["gated-edge"]);
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
        let _again = patient(&["healthy"]);
    });
}

/// Tells a helper one thing.
fn ask_hand(order: &Value, command: &str) -> Value {
    let mut hand = doctor_command(&["hand", &order.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the doctor is built");
    let mut input = hand.stdin.take().expect("it is piped");
    input
        .write_all(format!("{command}\n").as_bytes())
        .expect("it listens");
    drop(input);
    let output = hand.wait_with_output().expect("it is our child");
    serde_json::from_slice(&output.stdout).expect("it answers")
}

#[test]
fn each_part_of_the_identity_is_checked() {
    in_private_network(|| {
        let server = patient(&["stall"]);
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
            "pid": pid, "tid": pid, "started": started, "epoll_fd": 4, "target_fd": 3,
            "through_fd": 3, "events": field("events: "), "data": field("data:"),
            "inode": field("ino:"), "device": field("sdev:"), "spare": 100,
        });
        let again = format!(
            r#"{{"set":{{"events":{},"guard":false}}}}"#,
            field("events: ")
        );
        for (part, value) in [
            ("started", json!(started + 1)),
            ("inode", json!(field("ino:") + 1)),
            ("device", json!(field("sdev:") + 1)),
            ("data", json!(field("data:") + 1)),
            ("events", json!(1)),
            ("target_fd", json!(7)),
            ("through_fd", json!(4)),
            ("epoll_fd", json!(3)),
        ] {
            let mut wrong = right.clone();
            wrong[part] = value;
            let answer = ask_hand(&wrong, &again);
            assert!(
                answer["fault"].is_object() || answer["fault"] == "gone",
                "{part}: {answer}"
            );
            assert_eq!(queue().length, 2, "{part}");
            assert_eq!(listener_lines(pid), before, "{part}");
        }
        let answer = ask_hand(&right, &again);
        assert_eq!(answer["done"], field("events: "), "{answer}");
        wait_for_queue(1);
        drop(clients);
    });
}

#[test]
fn without_the_right_to_duplicate_descriptors_it_says_what_is_missing() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let server = patient(&["stall"]);
        let _clients = stick(&server, 3);
        let before = registrations(server.pid());
        let run = with_faults(&Aid::new(), &["inject=pidfd_getfd:error=EPERM"], &[]);
        assert_eq!(run.status.code(), Some(3));
        let json = run.any_json();
        assert!(headline(&json).contains("CAP_SYS_PTRACE"), "{json:#}");
        assert!(headline(&json).contains("ptrace_scope"), "{json:#}");
        assert_eq!(registrations(server.pid()), before);
        assert_eq!(queue().length, 2);
    });
}

#[test]
fn another_user_is_told_what_is_missing_and_changes_nothing() {
    in_private_network(|| {
        if !have("setpriv") || !have_root() {
            return;
        }
        let server = patient(&["stall"]);
        let _clients = stick(&server, 3);
        let before = registrations(server.pid());
        let (_folder, doctor) = doctor_for_everybody();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
        let arguments = ["relieve", "--port", "8080", "--min-age", "300ms", "--yes"];
        let run = run(Command::new("setpriv")
            .args(nobody)
            .arg(doctor)
            .args(arguments));
        let text = String::from_utf8_lossy(&run.stdout);
        assert_eq!(run.status.code(), Some(3), "{text}");
        assert!(text.contains("CAP_SYS_PTRACE"), "{text}");
        assert_eq!(registrations(server.pid()), before);
        assert_eq!(queue().length, 2);
    });
}

#[test]
fn from_another_pid_namespace_it_says_so() {
    in_private_network(|| {
        let server = patient(&["stall"]);
        let _clients = stick(&server, 3);
        let before = registrations(server.pid());
        let doctor = env!("CARGO_BIN_EXE_closewait-doctor");
        for (mount, word) in [
            (&["--mount-proc"][..], "pid namespace of its owner"),
            (&[][..], "shows another pid namespace"),
        ] {
            let run = run(Command::new("unshare")
                .args(["--pid", "--fork"])
                .args(mount)
                .arg(doctor)
                .args(["relieve", "--port", "8080", "--min-age", "300ms", "--yes"]));
            let text = String::from_utf8_lossy(&run.stdout).into_owned() + &run.stderr;
            assert_eq!(run.status.code(), Some(3), "{text}");
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(registrations(server.pid()), before);
        assert_eq!(queue().length, 2);
    });
}

#[test]
fn in_another_network_namespace_it_is_relieved_where_that_is_named() {
    in_private_network(|| {
        let start = "ip link set lo up && exec \"$0\" \"$@\"";
        let server = Program::start(
            Command::new("unshare")
                .args(["-n", "sh", "-c", start])
                .arg(example("patient"))
                .args(["stall", "--stops", "at-limit"]),
        );
        server.wait_for_line("ready");
        let pid = server.pid().to_string();
        let within = |script: &str| {
            let status = Command::new("nsenter")
                .args(["-t", &pid, "-n", "bash", "-c", script])
                .status();
            assert!(status.expect("nsenter is there").success(), "{script}");
        };
        // Two come at once and leave; the first of them takes the only slot until its end is read.
        stop(server.pid());
        within("for i in 1 2; do exec {fd}<>/dev/tcp/127.0.0.1/8080; done");
        super::resume(server.pid());
        outlast(SHORT_GRACE);
        let aid = Aid::new();
        let here = doctor(&["relieve", "--port", "8080", "--yes"]);
        assert!(
            here.complaint()
                .contains("in this network namespace (see --netns)"),
            "{}",
            here.stderr
        );
        let there = aid
            .run(&["--port", "8080", "--netns", &pid, "--yes"])
            .json();
        assert_eq!(there["netns"], pid, "{there:#}");
        assert_eq!(there["before"]["accept_queue"], 1, "{there:#}");
        assert_eq!(there["outcome"], "relieved", "{there:#}");
    });
}

/// As often as a test may take, or a thousand times where that is asked for.
fn rounds() -> usize {
    let asked = std::env::var_os("CLOSEWAIT_DOCTOR_SOAK").is_some_and(|value| value == "1");
    if asked { 1000 } else { 10 }
}

#[test]
fn round_after_round_nothing_is_leaked_and_nobody_lost() {
    in_private_network(|| {
        let server = patient(&["stall", "--stops", "after-one"]);
        let (before, lines) = (descriptors(server.pid()), listener_lines(server.pid()));
        let aid = Aid::new();
        for round in 0..rounds() {
            stop(server.pid());
            let mut live = connect_many(3);
            let gone = connect_many(3);
            gone.into_iter().for_each(|client| drop(close(client)));
            super::resume(server.pid());
            wait_for_queue(5);
            let json = aid.comes_to("relieved", &["--yes", "--min-age", "1ms"]);
            assert_eq!(queue().length, 0, "round {round}: {json:#}");
            for client in &mut live {
                talk(client);
            }
            drop(live);
            wait_until("all clients have left", || {
                descriptors(server.pid()) == before
            });
            assert_eq!(listener_lines(server.pid()), lines, "round {round}");
        }
        assert!(aid.is_empty());
    });
}

#[test]
fn hundreds_of_wake_ups_leak_no_descriptor_of_ours() {
    in_private_network(|| {
        let server = patient(&["stall"]);
        let clients = stick(&server, 300);
        let aid = Aid::new();
        let arguments = aid.arguments(&["--port", "8080", "--yes"]);
        let mut relieve = doctor_command(&arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("the doctor is built");
        let mut most = 0;
        wait_until("it has worked the queue off", || {
            let folder = std::fs::read_dir(format!("/proc/{}/fd", relieve.id()));
            most = most.max(folder.map_or(0, Iterator::count));
            relieve.try_wait().expect("it is our child").is_some()
        });
        assert!((4..20).contains(&most), "{most} descriptors");
        assert_eq!(queue().length, 0);
        drop(clients);
    });
}
