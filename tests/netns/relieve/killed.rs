//! Killed at any step, with its helper or without, `relieve` leaves nothing half-registered.

use std::process::{Child, Command, Stdio};

use super::other_means::is_open;
use super::{
    Aid, headline, helper, helper_waits, listener_lines, signal, steps, stick, with_faults,
};
use crate::support::{
    Program, SHORT_GRACE, close, connect_many, doctor_command, have, in_private_network, outlast,
    queue, run, start_server, stop, talk, wait_for_queue, wait_until,
};

/// The helper is killed at each of its calls that change something, and then its parent as well.
fn assert_survives_kills(server_arguments: &[&str], method: &[&str], calls: usize) {
    if !have("strace") {
        return;
    }
    let server = start_server(server_arguments);
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

/// `relieve --method level`, from the moment on from which it watches.
pub(super) fn watching(aid: &Aid, server: u32, before: &[String], watch: &str) -> Child {
    let arguments = aid.arguments(&["--port", "8080", "--yes", "--method", "level"]);
    let relieve = doctor_command(&arguments)
        .args(["--watch", watch])
        .stdout(Stdio::null())
        .spawn()
        .expect("the doctor is built");
    wait_until("the mask is changed", || listener_lines(server) != before);
    relieve
}

#[test]
fn killed_while_it_watches_it_brings_back_the_edge() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 6);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        let mut relieve = watching(&aid, server.pid(), &before, "20s");
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
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 6);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        let mut relieve = watching(&aid, server.pid(), &before, "20s");
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
fn killed_at_whatever_it_writes_it_leaves_the_registration_as_it_was() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let server = start_server(&["stall", "--exclusive"]);
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

/// How many system calls the main thread of a run makes.
fn count_calls(arguments: &[&str]) -> usize {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let trace = folder.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o"]).arg(&trace);
    strace.arg(env!("CARGO_BIN_EXE_closewait-doctor"));
    run(strace.args(arguments));
    let text = std::fs::read_to_string(&trace).expect("strace wrote it");
    text.lines().filter(|line| line.contains('(')).count()
}

/// At which of the calls after the plan a run is killed: some of them, or each where that is asked for.
fn kills(plan: usize, whole: usize) -> Vec<usize> {
    let asked = std::env::var_os("CLOSEWAIT_DOCTOR_SOAK").is_some_and(|value| value == "1");
    let step = if asked {
        7
    } else {
        (whole.saturating_sub(plan) / 6).max(1)
    };
    (plan..whole).step_by(step).collect()
}

/// Kills `relieve --yes` at its system calls, one after the other, and lets `check` judge each time.
fn assert_killed_anywhere(
    aid: &Aid,
    arguments: &[&str],
    mut make: impl FnMut(),
    check: impl Fn(usize),
) {
    let planned = aid.arguments(arguments);
    let carried_out = [&planned[..], &["--yes"]].concat();
    make();
    let plan = count_calls(&planned);
    let whole = count_calls(&carried_out);
    assert!(whole > plan, "{plan} calls of a plan, {whole} of all");
    // What stays in force until it is undone.
    aid.run(&["--port", "8080", "--undo", "--yes"]);
    for call in kills(plan, whole) {
        make();
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o", "/dev/null", "-e"]);
        strace.arg(format!("inject=all:signal=KILL:when={call}"));
        run(strace
            .arg(env!("CARGO_BIN_EXE_closewait-doctor"))
            .args(&carried_out));
        wait_until("the helper has ended", || !helper_waits());
        check(call);
    }
}

/// A registration that is changed for a while is as it was, or is brought back.
fn assert_registration_survives(server: &[&str], method: &[&str]) {
    if !have("strace") {
        return;
    }
    let server = start_server(server);
    let before = listener_lines(server.pid());
    let aid = Aid::new();
    let mut clients = Vec::new();
    let arguments = [&["--port", "8080"], method].concat();
    assert_killed_anywhere(
        &aid,
        &arguments,
        || stick_more(&server, &mut clients),
        |call| {
            let left = listener_lines(server.pid());
            assert!(!left.is_empty(), "call {call}: the server is deaf");
            aid.run(&["--port", "8080", "--undo", "--yes"]).json();
            assert_eq!(listener_lines(server.pid()), before, "call {call}");
            assert!(aid.is_empty(), "call {call}");
        },
    );
}

#[test]
fn killed_at_any_call_of_an_exclusive_rearm_the_server_is_as_before() {
    in_private_network(|| {
        assert_registration_survives(&["stall", "--exclusive"], &["--method", "rearm"]);
    });
}

#[test]
fn killed_at_any_call_of_level_it_can_be_undone() {
    in_private_network(|| {
        assert_registration_survives(&["stall"], &["--method", "level", "--watch", "1s"]);
    });
}

#[test]
fn killed_at_any_call_of_drain_no_live_client_is_closed() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let _server = start_server(&["never-accepts"]);
        let aid = Aid::new();
        assert_killed_anywhere(
            &aid,
            &["--port", "8080", "--method", "drain"],
            || {
                for client in connect_many(2) {
                    close(client);
                }
                outlast(SHORT_GRACE);
            },
            |call| assert!(aid.is_empty(), "call {call}"),
        );
        let live = connect_many(2);
        outlast(SHORT_GRACE);
        aid.run(&["--port", "8080", "--method", "drain", "--yes"]);
        assert!(live.iter().all(is_open));
    });
}

#[test]
fn killed_at_any_call_of_close_leaked_only_leaked_connections_end() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let server = start_server(&["unclosed-after-eof"]);
        let live = connect_many(2);
        let pid = server.pid().to_string();
        let aid = Aid::new();
        assert_killed_anywhere(
            &aid,
            &["--pid", &pid, "--method", "close-leaked"],
            || {
                for client in connect_many(2) {
                    close(client);
                }
                outlast(SHORT_GRACE);
            },
            |call| assert!(live.iter().all(is_open), "call {call}"),
        );
    });
}

#[test]
fn killed_at_any_call_of_continue_the_server_is_stopped_or_runs() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let server = start_server(&["healthy"]);
        let aid = Aid::new();
        let pid = server.pid();
        let mut clients = Vec::new();
        assert_killed_anywhere(
            &aid,
            &["--port", "8080", "--method", "continue"],
            || {
                stop(pid);
                clients.extend(connect_many(2));
                outlast(SHORT_GRACE);
            },
            |_| {},
        );
        super::resume(pid);
        for client in &mut clients {
            talk(client);
        }
    });
}
