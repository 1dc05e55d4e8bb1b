//! The catalogue of causes in docs/findings/README.md: that it is true, and causes that are in no other file.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::support::{
    Program, SHORT_GRACE, advises, assert_blames, close, connect, connect_many, have,
    in_private_network, outlast, queue, reset, says, scan, start_server, wait_for_close_waits,
    wait_for_queue,
};

fn python(server: &str) -> Program {
    let program = Program::start(Command::new("python3").args(["-c", server]));
    program.wait_for_line("ready");
    program
}

#[test]
fn workers_that_each_read_a_silent_client_are_all_busy() {
    in_private_network(|| {
        let server = start_server(&["prefork", "--style", "accept", "--workers", "2"]);
        let workers = server.workers();
        let _silent = connect_many(2);
        wait_for_queue(0);
        for client in connect_many(4) {
            close(client);
        }
        wait_for_queue(4);
        outlast(SHORT_GRACE);
        let report = scan(&[]).report();
        report.assert_queue(queue(), 4, 0, 0);
        let finding = report.only("acceptor-busy");
        assert_blames(finding, &workers);
        assert!(says(finding, "all 2 server processes"), "{finding:#}");
    });
}

#[test]
fn clients_who_gave_up_before_a_slow_server_came_to_them_are_found() {
    const SERVER: &str = "
import socket, time
listener = socket.create_server(('127.0.0.1', 8080), backlog=4000)
print('ready', flush=True)
while True:
    client, _ = listener.accept()
    time.sleep(0.1)
    client.close()";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = python(SERVER);
        for client in connect_many(60) {
            close(client);
        }
        outlast(SHORT_GRACE);
        let report = scan(&[]).report();
        let findings = report.above_info();
        // The one that was accepted last may be another: it has been in CLOSE_WAIT for as long as the others.
        let queue = findings
            .iter()
            .find(|finding| finding["id"] == "acceptor-busy");
        let finding = queue.unwrap_or_else(|| panic!("{:#}", report.json()));
        assert_blames(finding, &[server.pid()]);
        assert!(says(finding, "nanosleep"), "{finding:#}");
        assert!(advises(finding, "do not sleep"), "{finding:#}");
        assert!(advises(finding, "py-spy dump"), "{finding:#}");
        // It waits for no socket, and runs no event loop.
        assert!(!advises(finding, "settimeout"), "{finding:#}");
        assert!(!advises(finding, "asyncio"), "{finding:#}");
    });
}

#[test]
fn connections_that_were_reset_in_the_queue_count_once_they_were_watched_for_long_enough() {
    in_private_network(|| {
        let server = start_server(&["never-accepts"]);
        connect_many(5).into_iter().for_each(reset);
        wait_for_queue(5);
        let report = scan(&["--observe", "900ms"]).report();
        report.assert_queue(queue(), 0, 0, 5);
        assert_eq!(report.close_waits().len(), 0);
        assert_blames(report.only("acceptor-busy"), &[server.pid()]);
    });
}

#[test]
fn an_event_loop_that_spins_on_an_end_that_it_does_not_read_is_found() {
    const SERVER: &str = "
import select, socket
listener = socket.create_server(('127.0.0.1', 8080))
print('ready', flush=True)
client, _ = listener.accept()
events = select.epoll()
events.register(client, select.EPOLLIN)
while True:
    events.poll()";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = python(SERVER);
        close(connect());
        wait_for_close_waits(1, |unread| unread == 1);
        outlast(SHORT_GRACE);
        let report = scan(&[]).report();
        assert_blames(report.only("unread-eof"), &[server.pid()]);
    });
}

#[test]
fn more_unread_connections_to_a_service_than_a_pool_holds_are_a_warning() {
    in_private_network(|| assert_no_usual_pool(|_| ()));
}

#[test]
fn more_connections_read_to_their_end_than_a_pool_holds_are_a_warning() {
    in_private_network(|| {
        assert_no_usual_pool(|connection| {
            let end = connection.read(&mut [0]).expect("the server has closed");
            assert_eq!(end, 0);
        });
    });
}

/// The test itself is the client, of a server that closes at once.
fn assert_no_usual_pool(then: impl Fn(&mut TcpStream)) {
    let listener = TcpListener::bind("127.0.0.1:8080").expect("the port is free");
    let mut kept: Vec<TcpStream> = Vec::new();
    for _ in 0..150 {
        kept.push(connect());
        drop(listener.accept().expect("a client has connected"));
    }
    kept.iter_mut().for_each(then);
    outlast(SHORT_GRACE);
    let report = scan(&[]).report();
    let finding = report.only("idle-pool-connection");
    assert_eq!(finding["severity"], "warning", "{finding:#}");
    assert_eq!(finding["connections"], 150, "{finding:#}");
    assert_eq!(finding["subject"]["remote"], "127.0.0.1:8080");
    assert_blames(finding, &[std::process::id()]);
}

#[test]
fn every_test_that_the_catalogue_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file of this crate");
    let page = read("docs/findings/README.md");
    let (_, table) = page.split_once("## Known causes").expect("its heading");
    let mut named = 0;
    for (file, test) in table.split('`').filter_map(|code| code.split_once("::")) {
        let source = read(&format!("tests/netns/{file}.rs"));
        assert!(
            source.contains(&format!("#[test]\nfn {test}()")),
            "{file}::{test} is not there"
        );
        named += 1;
    }
    assert!(named > 40, "the page names {named} tests");
}
