//! Connections that wait in an accept queue: who should have accepted them, and what it does instead.

use std::net::TcpStream;
use std::process::Command;

use serde_json::Value;

use crate::support::{
    Crowd, Nginx, Program, Queue, Report, SHORT_GRACE, assert_blames, connect, connect_many, have,
    in_private_network, is_refused, items, outlast, queue, queues, says, scan, send, start_server,
    stop, wait_for_queue, wait_until,
};

/// A server that is stuck, with a crowd of clients waiting to be accepted.
struct Stuck {
    server: Program,
    /// Those who were accepted before.
    _accepted: Vec<TcpStream>,
    crowd: Crowd,
}

impl Stuck {
    /// A server that gets stuck after it has accepted so many clients, who say nothing.
    fn start_server(arguments: &[&str], accepts: usize) -> Self {
        Self::with_crowd(start_server(arguments), connect_many(accepts))
    }

    fn with_crowd(server: Program, accepted: Vec<TcpStream>) -> Self {
        let crowd = Crowd::connect();
        wait_for_queue(Crowd::SIZE);
        outlast(SHORT_GRACE);
        Self {
            server,
            _accepted: accepted,
            crowd,
        }
    }

    /// What the doctor says, who at least sees who waits, and for how long.
    fn report(&self) -> Report {
        let run = scan(&[]);
        let report = run.report();
        report.assert_queue(queue(), 2, 1, 1);
        report.assert_closed(&run, &self.crowd.closed, "unread");
        let verdict = &report["summary"]["verdict"];
        assert!(verdict == "critical" || verdict == "degraded", "{verdict}");
        report
    }

    /// It is busy, and the finding says what with.
    fn assert_busy(&self, with: &[&str]) {
        let report = self.report();
        let finding = report.only("acceptor-busy");
        assert_eq!(finding["connections"], Crowd::SIZE);
        assert_blames(finding, &[self.server.pid()]);
        for part in with {
            assert!(says(finding, part), "{part} is not in {finding:#}");
        }
    }

    fn assert_unwatched(&self) {
        let report = self.report();
        let finding = report.only("listener-unwatched");
        assert_eq!(finding["connections"], Crowd::SIZE);
        assert_blames(finding, &[self.server.pid()]);
    }
}

// ------------------------------------------------------------------------------------- edge-triggered-stall

#[test]
fn a_lost_edge_is_found_through_a_nested_epoll_set() {
    in_private_network(|| {
        let server = start_server(&["nested-stall", "--work-ms", "100"]);
        let _clients = connect_many(10);
        outlast(SHORT_GRACE);
        let report = scan(&[]).report();
        assert!(queue().length > 0, "the clients came in a burst");
        assert_eq!(report.accept_queue()["length"], queue().length);
        assert_blames(report.only("edge-triggered-stall"), &[server.pid()]);
    });
}

// ---------------------------------------------------------------------------------------- acceptor-busy

#[test]
fn a_loop_that_sleeps_is_busy() {
    in_private_network(|| {
        Stuck::start_server(&["blocked", "--by", "sleep"], 1).assert_busy(&["nanosleep"]);
    });
}

#[test]
fn a_loop_that_reads_a_silent_client_is_busy_with_that_client() {
    in_private_network(|| {
        let silent = start_server(&["blocked", "--by", "read"]);
        let client = connect();
        let address = client.local_addr().expect("it is connected").to_string();
        Stuck::with_crowd(silent, vec![client]).assert_busy(&[&address]);
    });
}

#[test]
fn a_loop_that_computes_is_busy() {
    in_private_network(|| {
        Stuck::start_server(&["blocked", "--by", "spin"], 1).assert_busy(&["running"]);
    });
}

#[test]
fn a_loop_that_asks_a_silent_upstream_is_busy_with_that_upstream() {
    in_private_network(|| {
        let _upstream = start_server(&["unread-eof", "--because", "unwatched", "--port", "9000"]);
        Stuck::start_server(&["blocked", "--by", "upstream"], 1).assert_busy(&["127.0.0.1:9000"]);
    });
}

#[test]
fn a_loop_that_connects_to_a_full_upstream_is_busy() {
    in_private_network(|| {
        let _upstream = start_server(&["never-accepts", "--port", "9000", "--backlog", "0"]);
        let _fills_it = TcpStream::connect(("127.0.0.1", 9000)).expect("there is room for one");
        Stuck::start_server(&["blocked", "--by", "upstream"], 1).assert_busy(&["connect"]);
    });
}

#[test]
fn a_loop_that_waits_on_another_epoll_set_is_busy() {
    in_private_network(|| {
        Stuck::start_server(&["blocked", "--by", "other-set"], 1).assert_busy(&["epoll"]);
    });
}

#[test]
fn a_server_that_reads_one_client_at_a_time_is_busy() {
    in_private_network(|| Stuck::start_server(&["one-by-one"], 1).assert_busy(&["read"]));
}

#[test]
fn an_acceptor_that_waits_for_a_free_worker_is_busy() {
    in_private_network(|| {
        Stuck::start_server(&["gated", "--workers", "2"], 2).assert_busy(&["futex"]);
    });
}

#[test]
fn a_process_whose_acceptor_has_ended_is_busy() {
    in_private_network(|| Stuck::start_server(&["acceptor-gone"], 1).assert_busy(&["read"]));
}

#[test]
fn redis_in_a_slow_command_is_busy() {
    in_private_network(|| {
        if !have("redis-server") {
            return;
        }
        let options = [
            "--bind",
            "127.0.0.1",
            "--port",
            "8080",
            "--save",
            "",
            "--enable-debug-command",
            "yes",
        ];
        let redis = Program::start(Command::new("redis-server").args(options));
        redis.wait_for_line("Ready to accept connections");
        let mut slow = connect();
        send(&mut slow, b"DEBUG SLEEP 60\r\n");
        redis.wait_for_sleep();
        let thread = format!("thread {}", redis.pid());
        Stuck::with_crowd(redis, vec![slow]).assert_busy(&[&thread, "nanosleep"]);
    });
}

#[test]
fn a_python_event_loop_in_a_blocking_call_is_busy() {
    const SERVER: &str = "
import asyncio, time
async def handle(reader, writer):
    await reader.readline()
    print('blocked', flush=True)
    time.sleep(60)
async def main():
    server = await asyncio.start_server(handle, '127.0.0.1', 8080)
    print('ready', flush=True)
    await server.serve_forever()
asyncio.run(main())";
    in_private_network(|| {
        if have("python3") {
            assert_loop_busy(Command::new("python3").args(["-c", SERVER]));
        }
    });
}

#[test]
fn a_node_event_loop_in_a_computation_is_busy() {
    const SERVER: &str = "
require('net').createServer(client => client.on('data', () => {
  console.log('blocked');
  for (const end = Date.now() + 60000; Date.now() < end; );
})).listen(8080, '127.0.0.1', () => console.log('ready'));";
    in_private_network(|| {
        if have("node") {
            assert_loop_busy(Command::new("node").args(["-e", SERVER]));
        }
    });
}

/// A server that says when it is ready, and that the first line of its first client has blocked it.
fn assert_loop_busy(server: &mut Command) {
    let server = Program::start(server);
    server.wait_for_line("ready");
    let mut first = connect();
    send(&mut first, b"a line\n");
    server.wait_for_line("blocked");
    let thread = format!("thread {}", server.pid());
    Stuck::with_crowd(server, vec![first]).assert_busy(&[&thread]);
}

// --------------------------------------------------------------------------- acceptor-busy or listener-unwatched

/// What such a server polls is in its memory only. That no thread waits for the listener is certain, for an idle loop and
/// for a busy one look the same from the kernel.
const NOBODY_WAITS: [&str; 2] = ["acceptor-busy", "listener-unwatched"];

fn assert_no_thread_waits(stuck: &Stuck) {
    let report = stuck.report();
    assert_blames(report.only_one_of(&NOBODY_WAITS), &[stuck.server.pid()]);
}

#[test]
fn a_poll_loop_that_left_its_listener_out_does_not_wait_for_it() {
    in_private_network(|| {
        assert_no_thread_waits(&Stuck::start_server(&["poll-paused", "--limit", "2"], 2));
    });
}

#[test]
fn a_poll_on_one_client_does_not_wait_for_the_listener() {
    in_private_network(|| assert_no_thread_waits(&Stuck::start_server(&["poll-one-client"], 1)));
}

#[test]
fn a_select_on_one_client_does_not_wait_for_the_listener() {
    const SERVER: &str = "
import select, socket
listener = socket.create_server(('127.0.0.1', 8080))
print('ready', flush=True)
client, _ = listener.accept()
select.select([client], [], [], 60)";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", SERVER]));
        server.wait_for_line("ready");
        assert_no_thread_waits(&Stuck::with_crowd(server, connect_many(1)));
    });
}

#[test]
fn a_server_that_runs_a_program_for_its_client_is_busy_and_the_program_is_named() {
    const SERVER: &str = "
import socket, subprocess
listener = socket.create_server(('127.0.0.1', 8080))
print('ready', flush=True)
client, _ = listener.accept()
subprocess.run(['sleep', '60'])";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", SERVER]));
        server.wait_for_line("ready");
        let stuck = Stuck::with_crowd(server, connect_many(1));
        let report = stuck.report();
        let finding = report.only("acceptor-busy");
        assert_blames(finding, &[stuck.server.pid()]);
        assert!(says(finding, "waits for its child sleep["), "{finding:#}");
    });
}

#[test]
fn no_thread_waits_for_a_listener_that_a_sleeping_child_inherited() {
    in_private_network(|| {
        let server = start_server(&["inherited", "--child", "sleep"]);
        let heir = server.workers();
        let report = Stuck::with_crowd(server, Vec::new()).report();
        assert_blames(report.only_one_of(&NOBODY_WAITS), &heir);
    });
}

// ------------------------------------------------------------------------------------------ listener-unwatched

#[test]
fn a_listener_removed_from_epoll_is_unwatched() {
    in_private_network(|| {
        Stuck::start_server(&["paused", "--how", "removed"], 1).assert_unwatched();
    });
}

#[test]
fn a_listener_without_events_to_wait_for_is_unwatched() {
    in_private_network(|| {
        Stuck::start_server(&["paused", "--how", "masked"], 1).assert_unwatched();
    });
}

#[test]
fn a_one_shot_listener_that_was_not_armed_again_is_unwatched() {
    in_private_network(|| {
        Stuck::start_server(&["paused", "--how", "one-shot"], 1).assert_unwatched();
    });
}

#[test]
fn a_listener_inherited_by_an_idle_event_loop_is_unwatched() {
    in_private_network(|| {
        let server = start_server(&["inherited", "--child", "event-loop"]);
        let heir = server.workers();
        let report = Stuck::with_crowd(server, Vec::new()).report();
        assert_blames(report.only("listener-unwatched"), &heir);
    });
}

// -------------------------------------------------------------------------------------------- acceptor-stopped

#[test]
fn a_stopped_nginx_worker_is_named_and_its_master_is_not() {
    in_private_network(|| {
        if !have("nginx") {
            return;
        }
        let nginx = Nginx::start();
        let worker = nginx.worker();
        stop(worker);
        let report = Stuck::with_crowd(nginx.program, Vec::new()).report();
        assert_blames(report.only("acceptor-stopped"), &[worker]);
    });
}

#[test]
fn stopped_workers_with_event_loops_are_named_and_their_master_is_not() {
    in_private_network(|| assert_stopped(start_server(&["prefork", "--style", "epoll"])));
}

#[test]
fn stopped_workers_in_accept_are_named_and_their_master_is_not() {
    in_private_network(|| assert_stopped(start_server(&["prefork", "--style", "accept"])));
}

fn assert_stopped(server: Program) {
    let workers = server.workers();
    workers.iter().copied().for_each(stop);
    let report = Stuck::with_crowd(server, Vec::new()).report();
    assert_blames(report.only("acceptor-stopped"), &workers);
}

// -------------------------------------------------------------------------------------------- fd-limit-reached

#[test]
fn a_server_that_spins_at_its_descriptor_limit_has_reached_it() {
    in_private_network(|| assert_at_descriptor_limit("spin"));
}

#[test]
fn a_server_that_backs_off_at_its_descriptor_limit_has_reached_it() {
    in_private_network(|| assert_at_descriptor_limit("back-off"));
}

#[test]
fn a_server_that_sleeps_at_its_descriptor_limit_has_reached_it() {
    in_private_network(|| assert_at_descriptor_limit("stall"));
}

fn assert_at_descriptor_limit(then: &str) {
    let server = start_server(&["descriptor-limit", "--descriptors", "40", "--then", then]);
    let _clients = connect_many(60);
    outlast(SHORT_GRACE);
    let report = scan(&[]).report();

    assert!(
        queue().length > 20,
        "at most 40 were accepted: {:?}",
        queue()
    );
    report.assert_queue(queue(), 0, queue().length, 0);
    assert_blames(report.only("fd-limit-reached"), &[server.pid()]);
    let process = items(&report["processes"]).find(|process| process["pid"] == server.pid());
    let descriptors = &process.expect("the owner is shown")["fds"];
    assert_eq!(descriptors["limit"], 40);
    assert!(descriptors["open"].as_u64() >= Some(40), "{descriptors:#}");
}

// --------------------------------------------------------------------------------------- accept-queue-overflow

#[test]
fn a_full_queue_is_reported_beside_its_cause() {
    in_private_network(|| {
        let server = start_server(&["never-accepts", "--backlog", "2"]);
        let _fill_it = connect_many(3);
        assert!(is_refused(), "a queue with the limit 2 holds 3");
        outlast(SHORT_GRACE);
        let report = scan(&[]).report();

        assert_eq!(
            queue(),
            Queue {
                length: 3,
                limit: 2
            }
        );
        report.assert_queue(queue(), 0, 3, 0);
        let findings = report.above_info();
        let mut ids: Vec<&Value> = findings.iter().map(|finding| &finding["id"]).collect();
        ids.sort_by_key(ToString::to_string);
        assert_eq!(ids, ["accept-queue-overflow", "acceptor-busy"]);
        for finding in findings {
            assert_blames(finding, &[server.pid()]);
        }
    });
}

// ------------------------------------------------------------------------------------------- several listeners

#[test]
fn ipv4_clients_of_a_dual_stack_listener_are_counted() {
    in_private_network(|| {
        Stuck::start_server(&["never-accepts", "--address", "::"], 0).assert_busy(&["nanosleep"]);
    });
}

#[test]
fn the_stuck_one_of_several_listeners_on_a_port_is_named() {
    in_private_network(|| {
        let server = start_server(&["reuse-port", "--workers", "3", "--stuck"]);
        assert_one_of_group(&server.workers(), "acceptor-busy");
    });
}

#[test]
fn the_stopped_one_of_several_listeners_on_a_port_is_named() {
    in_private_network(|| {
        let server = start_server(&["reuse-port", "--workers", "3"]);
        let workers = server.workers();
        stop(workers[0]);
        assert_one_of_group(&workers, "acceptor-stopped");
    });
}

/// The first worker does not accept, the others do.
fn assert_one_of_group(workers: &[u32], id: &str) {
    let _clients = connect_many(40);
    let waiting = || {
        queues()
            .into_iter()
            .filter(|queue| queue.length > 0)
            .collect::<Vec<_>>()
    };
    wait_until("only one queue is left", || waiting().len() == 1);
    outlast(SHORT_GRACE);
    let report = scan(&[]).report();

    let finding = report.only(id);
    assert_blames(finding, &workers[..1]);
    assert_eq!(finding["connections"], waiting()[0].length);
    let mut lengths = Vec::new();
    for listener in report.listeners() {
        lengths.push(
            listener["accept_queue"]["length"]
                .as_u64()
                .expect("it is always known"),
        );
    }
    lengths.sort_unstable();
    assert_eq!(lengths, [0, 0, waiting()[0].length]);
}
