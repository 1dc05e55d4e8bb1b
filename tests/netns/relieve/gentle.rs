//! `rearm`, `level` and `--undo`: the server's own code does the work.

use std::io::Read;
use std::process::Command;

use super::{Aid, headline, listener_lines, registrations, resume, steps, stick};
use crate::probe::StuckIncident;
use crate::support::{
    Program, SHORT_GRACE, close, connect, connect_many, have, in_private_network, items, outlast,
    queue, start_server, stop, talk, wait_for_queue, wait_until,
};

#[test]
fn rearm_empties_the_queue_of_the_incident_and_the_live_client_stays() {
    in_private_network(|| {
        let stuck = StuckIncident::play(&[]);
        wait_for_queue(8);
        outlast(SHORT_GRACE);
        let pid = stuck.server.pid();
        let before = registrations(pid);
        let aid = Aid::new();
        let json = aid.comes_to("relieved", &["--method", "rearm", "--yes"]);

        assert_eq!(queue().length, 0);
        assert_eq!(json["before"]["accept_queue"], 8, "{json:#}");
        assert_eq!(json["after"]["accept_queue"], 0, "{json:#}");
        assert_eq!(json["before"]["close_wait"], 8, "{json:#}");
        assert_eq!(json["after"]["close_wait"], 0, "{json:#}");
        assert_eq!(
            json["before"]["findings"][0]["id"], "edge-triggered-stall",
            "{json:#}"
        );
        assert_eq!(items(&json["after"]["findings"]).count(), 0, "{json:#}");
        // At its limit the server accepts one for each wake-up.
        assert_eq!(steps(&json, "re-arm").len(), 8, "{json:#}");
        assert_eq!(registrations(pid), before);
        assert!(aid.is_empty());
        // It goes on: at its limit it closes each new client at once.
        let mut late_client = connect();
        assert_eq!(late_client.read(&mut [0; 1]).ok(), Some(0));
        assert_eq!(queue().length, 0);
    });
}

#[test]
fn rearm_loses_no_live_client() {
    in_private_network(|| {
        let server = start_server(&["stall", "--stops", "after-one"]);
        let mut clients = stick(&server, 9);
        let before = listener_lines(server.pid());
        Aid::new().comes_to("relieved", &["--yes"]);
        assert_eq!(queue().length, 0);
        for client in &mut clients {
            talk(client);
        }
        assert_eq!(listener_lines(server.pid()), before);
    });
}

#[test]
fn one_wake_up_is_enough_for_a_loop_that_is_sound_below_its_limit() {
    in_private_network(|| {
        let _server = start_server(&["stall", "--stops", "at-limit", "--limit", "2"]);
        let mut served = [connect(), connect()];
        for client in &mut served {
            talk(client);
        }
        let mut waiting = connect_many(2);
        wait_for_queue(2);
        for client in served {
            close(client);
        }
        outlast(SHORT_GRACE);
        assert_eq!(queue().length, 2);
        let json = Aid::new().comes_to("relieved", &["--yes"]);
        assert_eq!(steps(&json, "re-arm").len(), 1, "{json:#}");
        for client in &mut waiting {
            talk(client);
        }
    });
}

#[test]
fn a_plan_names_the_registration_and_changes_nothing() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let (before, waiting) = (registrations(server.pid()), queue());
        let aid = Aid::new();
        let trace = aid.state.path().join("trace");
        let strace = have("strace").then(|| strace(server.pid(), &trace));
        let json = aid.comes_to("planned", &[]);
        assert_eq!(json["plan"]["method"], "rearm", "{json:#}");
        let step = json["plan"]["steps"][0]["target"].as_str();
        let wanted = format!("process {}: epoll fd 4, listener as fd 3", server.pid());
        assert_eq!(step, Some(wanted.as_str()), "{json:#}");
        assert!(json["after"].is_null(), "{json:#}");
        for method in ["level", "drain"] {
            aid.comes_to("planned", &["--method", method]);
        }
        assert_eq!(registrations(server.pid()), before);
        assert_eq!(queue(), waiting);
        if let Some(strace) = strace {
            drop(strace);
            let calls = std::fs::read_to_string(&trace).expect("strace wrote it");
            let calls: Vec<&str> = calls
                .lines()
                .filter(|line| !line.contains("<unfinished") && !line.contains("+++"))
                .collect();
            assert!(calls.is_empty(), "{calls:#?}");
        }
    });
}

/// Watches what a server does, until it is dropped.
fn strace(pid: u32, trace: &std::path::Path) -> Program {
    let strace = Program::start(
        Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(trace)
            .args(["-p", &pid.to_string()]),
    );
    wait_until("strace is attached", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.expect("the server lives");
        !status.contains("TracerPid:\t0\n")
    });
    // The call that the server is in shows once it is seized.
    wait_until("strace has written where the server is", || {
        std::fs::read_to_string(trace).is_ok_and(|text| text.contains("epoll"))
    });
    std::fs::write(trace, "").expect("the file is ours");
    strace
}

#[test]
fn rearm_works_through_nested_epoll() {
    in_private_network(|| {
        let server = start_server(&["nested-stall", "--work-ms", "1"]);
        let _clients = stick(&server, 6);
        let before = registrations(server.pid());
        Aid::new().comes_to("relieved", &["--method", "rearm", "--yes"]);
        assert_eq!(queue().length, 0);
        assert_eq!(registrations(server.pid()), before);
    });
}

#[test]
fn rearm_works_on_an_exclusive_registration() {
    in_private_network(|| {
        let server = start_server(&["stall", "--exclusive"]);
        let mut clients = stick(&server, 6);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        aid.comes_to("relieved", &["--yes"]);
        assert_eq!(queue().length, 0);
        assert_eq!(listener_lines(server.pid()), before);
        assert!(aid.is_empty());
        for client in &mut clients {
            talk(client);
        }
    });
}

#[test]
fn rearm_works_on_a_listener_that_is_registered_under_another_number() {
    in_private_network(|| {
        let server = start_server(&["stall", "--duplicate"]);
        let mut clients = stick(&server, 5);
        let before = listener_lines(server.pid());
        assert!(before[0].starts_with("tfd:       20 "), "{before:?}");
        let json = Aid::new().comes_to("relieved", &["--yes"]);
        let target = json["plan"]["steps"][0]["target"].as_str();
        assert!(
            target.is_some_and(|text| text.ends_with("as fd 20")),
            "{json:#}"
        );
        assert_eq!(queue().length, 0);
        assert_eq!(listener_lines(server.pid()), before);
        for client in &mut clients {
            talk(client);
        }
    });
}

#[test]
fn rearm_works_on_a_listener_that_is_a_standard_stream() {
    const SERVER: &str = "
import os, select, socket
listener = socket.create_server(('127.0.0.1', 8080))
listener.setblocking(False)
events = select.epoll()
for number in (0, 1):
    os.dup2(listener.fileno(), number)
os.write(2, b'')
events.register(NUMBER, select.EPOLLIN | select.EPOLLET)
ready = os.open(READY, os.O_WRONLY | os.O_CREAT)
clients = []
while True:
    for _ in events.poll():
        clients.append(listener.accept())";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        for number in ["0", "1"] {
            let folder = tempfile::tempdir().expect("there is room");
            let ready = folder.path().join("ready");
            let script = SERVER
                .replace("NUMBER", number)
                .replace("READY", &format!("{:?}", ready.display().to_string()));
            let server = Program::start(Command::new("python3").args(["-c", &script]));
            wait_until("the server is ready", || ready.exists());
            let clients = stick(&server, 4);
            let before = registrations(server.pid());
            Aid::new().comes_to("relieved", &["--yes"]);
            assert_eq!(queue().length, 0);
            assert_eq!(registrations(server.pid()), before);
            drop((server, clients));
            wait_until("the port is free", || crate::support::queues().is_empty());
        }
    });
}

#[test]
fn rearm_works_on_a_process_whose_main_thread_has_ended() {
    const SERVER: &str = "
import ctypes, os, select, socket, threading, time
listener = socket.create_server(('127.0.0.1', 8080))
listener.setblocking(False)
events = select.epoll()
events.register(listener, select.EPOLLIN | select.EPOLLET)
clients = []
def serve():
    main = f'/proc/self/task/{os.getpid()}/stat'
    while open(main).read().rsplit(') ', 1)[1][0] != 'Z':
        time.sleep(0.01)
    print('ready', flush=True)
    while True:
        for _ in events.poll():
            clients.append(listener.accept())
            time.sleep(0.2)
threading.Thread(target=serve).start()
ctypes.CDLL(None).pthread_exit(None)";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", SERVER]));
        server.wait_for_line("ready");
        let first = connect();
        wait_for_queue(0);
        let others = connect_many(4);
        // While it worked on the first, one edge came for the others.
        wait_for_queue(3);
        outlast(SHORT_GRACE);
        let before = registrations(server.pid());
        Aid::new().comes_to("relieved", &["--yes"]);
        assert_eq!(queue().length, 0);
        assert_eq!(registrations(server.pid()), before);
        drop((first, others));
    });
}

#[test]
fn rearm_wakes_each_of_several_workers() {
    const SERVER: &str = "
import os, select, signal, socket
listener = socket.create_server(('127.0.0.1', 8080))
listener.setblocking(False)
pids = []
for worker in range(2):
    pid = os.fork()
    if pid == 0:
        events = select.epoll()
        events.register(listener, select.EPOLLIN | select.EPOLLET)
        clients = []
        while True:
            for _ in events.poll():
                try:
                    clients.append(listener.accept())
                except BlockingIOError:
                    pass
    pids.append(pid)
print('pids', *pids, flush=True)
signal.pause()";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", SERVER]));
        let workers = server.workers();
        for worker in &workers {
            wait_until("the worker has its set", || {
                !registrations(*worker).is_empty()
            });
            stop(*worker);
        }
        let clients = connect_many(8);
        wait_for_queue(8);
        for worker in &workers {
            resume(*worker);
        }
        // Each takes one for the edge that it got.
        wait_for_queue(6);
        outlast(SHORT_GRACE);
        let before: Vec<_> = workers.iter().map(|pid| registrations(*pid)).collect();
        let json = Aid::new().comes_to("relieved", &["--yes"]);
        assert_eq!(items(&json["plan"]["steps"]).count(), 2, "{json:#}");
        assert_eq!(queue().length, 0);
        let after: Vec<_> = workers.iter().map(|pid| registrations(*pid)).collect();
        assert_eq!(after, before);
        drop(clients);
    });
}

#[test]
fn nothing_can_happen_on_a_stopped_server_until_it_continues() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        stop(server.pid());
        let _clients = connect_many(3);
        wait_for_queue(3);
        outlast(SHORT_GRACE);
        let before = registrations(server.pid());
        let aid = Aid::new();
        let json = aid.comes_to("failed", &["--method", "rearm", "--yes"]);
        assert!(
            headline(&json).contains("nothing can happen until it continues"),
            "{json:#}"
        );
        assert_eq!(queue().length, 3);
        assert_eq!(registrations(server.pid()), before);

        let plan = aid.comes_to("planned", &[]);
        assert_eq!(plan["plan"]["method"], "continue", "{plan:#}");
        let step = plan["plan"]["steps"][0]["what"].as_str();
        assert_eq!(step, Some(format!("kill -CONT {}", server.pid()).as_str()));
        assert_eq!(queue().length, 3);
        aid.comes_to("relieved", &["--yes"]);
        // Running again, it takes the one that the edge was for.
        wait_for_queue(2);
    });
}

#[test]
fn level_empties_the_queue_and_lasts_until_it_is_undone() {
    in_private_network(|| {
        let stuck = StuckIncident::play(&[]);
        wait_for_queue(8);
        outlast(SHORT_GRACE);
        let pid = stuck.server.pid();
        let before = registrations(pid);
        let aid = Aid::new();
        let json = aid.comes_to("relieved", &["--method", "level", "--yes", "--watch", "1s"]);
        assert_eq!(queue().length, 0, "{json:#}");
        assert_ne!(registrations(pid), before);
        assert!(!aid.is_empty());

        // A second burst, at the limit, while the server cannot react.
        stop(stuck.server.pid());
        let second = connect_many(30);
        resume(stuck.server.pid());
        wait_for_queue(0);
        drop(second);

        let plan = aid.comes_to("planned", &["--undo"]);
        assert!(
            headline(&plan).contains("mask 19 back to 80000019"),
            "{plan:#}"
        );
        aid.comes_to("undone", &["--undo", "--yes"]);
        assert_eq!(registrations(pid), before);
        assert!(aid.is_empty());
        aid.comes_to("nothing_to_do", &["--undo", "--yes"]);
    });
}

#[test]
fn level_works_on_an_exclusive_registration_and_is_undone() {
    in_private_network(|| {
        let server = start_server(&["stall", "--exclusive"]);
        let clients = stick(&server, 6);
        let before = listener_lines(server.pid());
        assert!(before[0].contains("90000019"), "{before:?}");
        let aid = Aid::new();
        aid.comes_to("relieved", &["--method", "level", "--yes", "--watch", "1s"]);
        assert_eq!(queue().length, 0);
        let meanwhile = listener_lines(server.pid());
        assert!(meanwhile[0].contains("10000019"), "{meanwhile:?}");
        assert_eq!(meanwhile.len(), 1, "{meanwhile:?}");
        aid.comes_to("undone", &["--undo", "--yes"]);
        assert_eq!(listener_lines(server.pid()), before);
        drop(clients);
    });
}

#[test]
fn level_is_rolled_back_on_a_server_that_spins() {
    in_private_network(|| {
        let server = start_server(&["stall", "--stops", "at-limit"]);
        let mut first = connect();
        talk(&mut first);
        let _waiting = connect_many(3);
        wait_for_queue(3);
        outlast(SHORT_GRACE);
        let before = registrations(server.pid());
        let aid = Aid::new();
        let json = aid.comes_to(
            "rolled_back",
            &["--method", "level", "--yes", "--watch", "5s"],
        );
        assert!(headline(&json).contains("spins"), "{json:#}");
        assert_eq!(steps(&json, "roll back").len(), 1, "{json:#}");
        assert_eq!(registrations(server.pid()), before);
        assert!(aid.is_empty());
        // It was noticed within the watch time, and the server sleeps again.
        let (level, back) = (&steps(&json, "level")[0], &steps(&json, "roll back")[0]);
        let took =
            back["at_ms"].as_u64().expect("a time") - level["at_ms"].as_u64().expect("a time");
        assert!(took < 5000, "{json:#}");
        let used = processor_time(server.pid());
        outlast(SHORT_GRACE);
        assert_eq!(processor_time(server.pid()), used);
        talk(&mut first);
    });
}

/// What the scheduler gave a process, in nanoseconds.
fn processor_time(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat"));
    let text = text.expect("the server lives");
    let first = text.split_whitespace().next().expect("three numbers");
    first.parse().expect("a number")
}

#[test]
fn a_runtime_that_is_built_on_edges_is_made_level_triggered_only_by_force() {
    in_private_network(|| {
        let server = start_server(&["gated-edge", "--thread", "tokio-rt-worker"]);
        let _holds_the_slot = connect();
        wait_for_queue(0);
        let _waiting = connect_many(3);
        wait_for_queue(3);
        outlast(SHORT_GRACE);
        let before = registrations(server.pid());
        let aid = Aid::new();
        let refused = aid.comes_to("failed", &["--method", "level", "--yes"]);
        assert!(headline(&refused).contains("built on edges"), "{refused:#}");
        assert_eq!(registrations(server.pid()), before);
        let forced = ["--method", "level", "--force", "--yes", "--watch", "5s"];
        let forced = aid.comes_to("rolled_back", &forced);
        assert!(headline(&forced).contains("spins"), "{forced:#}");
        assert_eq!(registrations(server.pid()), before);
    });
}

#[test]
fn a_healthy_server_is_left_alone() {
    in_private_network(|| {
        let server = start_server(&["healthy", "--trigger", "edge"]);
        let before = registrations(server.pid());
        let json = Aid::new().comes_to("nothing_to_do", &["--yes"]);
        assert!(headline(&json).contains("no connection waits"), "{json:#}");
        assert_eq!(registrations(server.pid()), before);
    });
}

#[test]
fn a_loop_that_waits_for_a_slot_is_woken_in_vain_and_that_is_said() {
    in_private_network(|| {
        let server = start_server(&["gated-edge"]);
        let _holds_the_slot = connect();
        wait_for_queue(0);
        let _waiting = connect_many(3);
        wait_for_queue(3);
        outlast(SHORT_GRACE);
        let before = registrations(server.pid());
        let json = Aid::new().comes_to("unchanged", &["--yes"]);
        assert!(
            headline(&json).contains("held back by something else"),
            "{json:#}"
        );
        assert_eq!(registrations(server.pid()), before);
        assert_eq!(queue().length, 3);
    });
}
