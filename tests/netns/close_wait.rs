//! Connections in `CLOSE_WAIT` that a process has accepted.

use std::net::TcpStream;
use std::process::Command;

use crate::support::{
    Closed, MESSAGE, Program, SHORT_GRACE, assert_blames, close, connect, doctor, have,
    in_private_network, outlast, says, scan, send, start_server, stop, talk, unread_by_server,
    wait_for_close_waits, wait_until,
};

/// A server that has not closed what two of its three clients have closed.
struct Leak {
    server: Program,
    closed: Vec<Closed>,
    /// The first client, who is still there.
    _stays: TcpStream,
}

impl Leak {
    /// Three clients send a message, and two of them leave as soon as the server has read what it wants of it.
    fn start_server(arguments: &[&str], has_read: impl Fn(u64) -> bool) -> Self {
        Self::of(start_server(arguments), has_read)
    }

    fn of(server: Program, has_read: impl Fn(u64) -> bool) -> Self {
        let mut clients = [connect(), connect(), connect()];
        for client in &mut clients {
            send(client, MESSAGE);
            wait_until("the server has read what it wants", || {
                has_read(unread_by_server(client))
            });
        }
        let [stays, second, third] = clients;
        let closed = vec![close(second), close(third)];
        Self {
            server,
            closed,
            _stays: stays,
        }
    }

    /// One finding, on both connections, which says why.
    fn assert_unread(&self, why: &str) {
        wait_for_close_waits(2, |unread| unread >= 1);
        self.assert_found("unread-eof", "unread", why);
    }

    fn assert_found(&self, id: &str, eof: &str, why: &str) {
        outlast(SHORT_GRACE);
        let run = scan(&[]);
        let report = run.report();
        report.assert_closed(&run, &self.closed, eof);
        for connection in report.close_waits() {
            assert_eq!(connection["place"], "process", "{connection:#}");
            assert_eq!(
                connection["owners"][0]["pid"],
                self.server.pid(),
                "{connection:#}"
            );
        }
        let finding = report.only(id);
        assert_eq!(finding["connections"], 2, "{finding:#}");
        assert_blames(finding, &[self.server.pid()]);
        assert!(says(finding, why), "{why} is not in {finding:#}");
        assert_ne!(report["summary"]["verdict"], "healthy");
    }
}

fn at_once(_unread: u64) -> bool {
    true
}

fn all(unread: u64) -> bool {
    unread == 0
}

#[test]
fn a_server_that_read_the_end_and_keeps_the_descriptor_has_not_closed() {
    in_private_network(|| {
        let leak = Leak::start_server(&["unclosed-after-eof"], all);
        wait_for_close_waits(2, |unread| unread == 0);
        leak.assert_found("unclosed-after-eof", "consumed", "");
    });
}

#[test]
fn an_end_is_unread_where_the_connection_is_in_no_epoll_set() {
    in_private_network(|| {
        Leak::start_server(&["unread-eof", "--because", "unwatched"], at_once)
            .assert_unread("epoll");
    });
}

#[test]
fn an_end_is_unread_where_the_mask_asks_for_room_to_write_only() {
    in_private_network(|| {
        Leak::start_server(&["unread-eof", "--because", "watched-for-writing"], at_once)
            .assert_unread("EPOLLIN");
    });
}

#[test]
fn an_end_is_unread_where_the_loop_waits_on_another_set_than_that_of_its_clients() {
    const SERVER: &str = "
import select, socket
listener = socket.create_server(('127.0.0.1', 8080))
print('ready', flush=True)
clients, other, pair = select.epoll(), select.epoll(), socket.socketpair()
accepted = [listener.accept()[0] for _ in range(3)]
for client in accepted: clients.register(client, select.EPOLLIN)
other.register(pair[0], select.EPOLLIN)
other.poll(60)";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", SERVER]));
        server.wait_for_line("ready");
        Leak::of(server, at_once).assert_unread("an epoll set on which no thread waits");
    });
}

#[test]
fn an_end_is_unread_where_the_mask_is_empty() {
    in_private_network(|| {
        Leak::start_server(&["unread-eof", "--because", "masked"], at_once)
            .assert_unread("EPOLLIN");
    });
}

#[test]
fn an_end_is_unread_where_an_edge_was_answered_with_one_small_read() {
    in_private_network(|| {
        let after_one_read = |unread| unread == MESSAGE.len() as u64 - 10;
        Leak::start_server(
            &["unread-eof", "--because", "edge-left-data"],
            after_one_read,
        )
        .assert_unread("edge");
    });
}

#[test]
fn an_end_is_unread_while_the_reader_sleeps() {
    in_private_network(|| {
        Leak::start_server(&["unread-eof", "--because", "sleep"], at_once)
            .assert_unread("nanosleep");
    });
}

#[test]
fn an_end_is_unread_while_the_reader_reads_another_client() {
    in_private_network(|| {
        Leak::start_server(&["unread-eof", "--because", "read"], at_once).assert_unread("read");
    });
}

#[test]
fn an_end_is_unread_while_the_reader_waits_for_another_thread() {
    in_private_network(|| {
        Leak::start_server(&["unread-eof", "--because", "other-thread"], at_once)
            .assert_unread("futex");
    });
}

#[test]
fn an_end_is_unread_while_its_thread_waits_for_an_upstream() {
    in_private_network(|| {
        let _upstream = start_server(&["unread-eof", "--because", "unwatched", "--port", "9000"]);
        Leak::start_server(&["waits-for-upstream"], all).assert_unread("read");
    });
}

#[test]
fn an_end_is_unread_while_the_owner_is_stopped() {
    in_private_network(|| {
        let server = start_server(&["healthy"]);
        let mut clients = [connect(), connect(), connect()];
        clients.iter_mut().for_each(talk);
        stop(server.pid());
        let [stays, second, third] = clients;
        let closed = vec![close(second), close(third)];
        Leak {
            server,
            closed,
            _stays: stays,
        }
        .assert_unread("stopped");
    });
}

#[test]
fn a_close_wait_younger_than_the_grace_period_is_normal() {
    in_private_network(|| {
        let leak = Leak::start_server(&["unclosed-after-eof"], all);
        wait_for_close_waits(2, |unread| unread == 0);
        let report = doctor(&["scan", "--port", "8080", "--format", "json"]).report();
        report.assert_healthy();
        assert_eq!(report["summary"]["close_wait"]["total"], leak.closed.len());
        assert_eq!(report["summary"]["close_wait"]["owned"], leak.closed.len());
    });
}
