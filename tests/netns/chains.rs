//! Wait chains of each kind of link, with real processes: the root is named.

use std::process::Command;

use serde_json::Value;

use crate::support::{
    Program, SHORT_GRACE, advises, close, connect, connect_many, doctor, have, in_private_network,
    items, outlast, says, scan, send, wait_for_queue,
};

/// What is found where a server does something else than to accept.
const QUEUE_FINDINGS: [&str; 2] = ["acceptor-busy", "listener-unwatched"];

/// Starts a server that is stuck at the first of a chain of waits, and returns the finding about its queue.
fn look_at(chain: &str, then: impl Fn(&Value)) {
    if !have("python3") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/netns/chain.py");
    let server = Program::start(Command::new("python3").args([script, chain]));
    server.wait_for_line("ready");
    let mut first = connect();
    send(&mut first, b"hello\n");
    // A server that calls itself has one more.
    wait_for_queue(u64::from(chain == "two_services"));
    for client in connect_many(3) {
        close(client);
    }
    outlast(SHORT_GRACE * 2);
    let report = scan(&[]).report();
    let findings = report.above_info();
    let finding = findings
        .into_iter()
        .find(|finding| QUEUE_FINDINGS.iter().any(|id| finding["id"] == *id));
    then(finding.unwrap_or_else(|| panic!("{chain}: {:#}", report.json())));
}

/// The chain has so many links at least, and ends with this.
fn assert_root(chain: &str, links: usize, root: &str) {
    look_at(chain, |finding| {
        let waits = &finding["waits"];
        let found = items(&waits["chain"]).count();
        assert!(found >= links, "{chain}: {found} links: {finding:#}");
        let said = waits["root"].as_str().unwrap_or_default();
        assert!(
            said.contains(root),
            "{chain}: {root:?} is not the root: {finding:#}"
        );
        assert_eq!(waits["deadlock"], false, "{chain}: {finding:#}");
    });
}

fn assert_deadlock(chain: &str) {
    look_at(chain, |finding| {
        assert_eq!(finding["waits"]["deadlock"], true, "{chain}: {finding:#}");
        assert!(says(finding, "they wait for each other"), "{finding:#}");
    });
}

/// What a service that was accepted from and never answers does: it waits for the next client.
const MUTE_SERVICE: &str = "a connection to accept";

#[test]
fn a_mutex_leads_to_the_service_that_its_owner_asked() {
    in_private_network(|| assert_root("mutex_to_service", 3, MUTE_SERVICE));
}

#[test]
fn a_file_lock_leads_to_the_service_that_its_holder_asked() {
    in_private_network(|| assert_root("file_lock_to_service", 3, MUTE_SERVICE));
}

#[test]
fn a_join_leads_to_the_service_that_the_thread_asked() {
    in_private_network(|| assert_root("join_to_service", 3, MUTE_SERVICE));
}

#[test]
fn a_child_leads_to_the_service_that_it_asked() {
    in_private_network(|| assert_root("child_to_service", 3, MUTE_SERVICE));
}

#[test]
fn a_child_that_has_not_executed_its_program_is_no_disk_wait() {
    in_private_network(|| {
        look_at("vfork_to_service", |finding| {
            assert!(says(finding, "vfork"), "{finding:#}");
            assert!(!says(finding, "disk"), "{finding:#}");
            assert!(says(finding, "127.0.0.1:9000"), "{finding:#}");
        });
    });
}

#[test]
fn a_service_of_this_host_leads_to_the_one_that_it_asked() {
    in_private_network(|| assert_root("local_service_to_service", 3, MUTE_SERVICE));
}

#[test]
fn the_output_of_a_child_leads_to_the_service_that_it_asked() {
    in_private_network(|| assert_root("output_to_service", 3, MUTE_SERVICE));
}

#[test]
fn a_full_pipe_leads_to_its_stopped_reader() {
    in_private_network(|| assert_root("pipe_to_stopped", 2, "stopped"));
}

#[test]
fn a_named_pipe_that_nobody_else_opens_is_named() {
    in_private_network(|| {
        assert_root("fifo_without_other_end", 1, "the other end of a named pipe");
    });
}

#[test]
fn a_full_named_pipe_leads_to_its_stopped_reader() {
    in_private_network(|| assert_root("fifo_to_stopped", 2, "stopped"));
}

#[test]
fn a_unix_socket_leads_to_its_stopped_peer() {
    in_private_network(|| assert_root("unix_socket_to_stopped", 2, "stopped"));
}

#[test]
fn a_unix_socket_that_was_not_accepted_leads_to_the_stopped_listener() {
    in_private_network(|| assert_root("unix_socket_not_accepted", 2, "stopped"));
}

#[test]
fn a_name_lookup_leads_to_the_stopped_name_server() {
    in_private_network(|| assert_root("name_server_silent", 2, "stopped"));
}

#[test]
fn two_mutexes_are_a_deadlock() {
    in_private_network(|| assert_deadlock("two_mutexes"));
}

#[test]
fn two_full_pipes_are_a_deadlock() {
    in_private_network(|| assert_deadlock("two_pipes"));
}

#[test]
fn two_services_that_call_each_other_are_a_deadlock() {
    in_private_network(|| assert_deadlock("two_services"));
}

#[test]
fn a_process_that_nothing_inside_of_it_wakes_is_told() {
    in_private_network(|| {
        look_at("no_thread_left", |finding| {
            assert!(says(finding, "without a time limit"), "{finding:#}");
            assert!(advises(finding, "stacks of all its threads"), "{finding:#}");
        });
    });
}

#[test]
fn the_holder_of_a_lock_is_found_among_fifty_thousand_others() {
    in_private_network(|| assert_root("crowded_lock_table", 3, MUTE_SERVICE));
}

#[test]
fn ten_thousand_shared_pipes_are_no_endless_chain() {
    in_private_network(|| {
        look_at("ten_thousand_pipes", |finding| {
            assert!(says(finding, "pipe:["), "{finding:#}");
        });
    });
}

#[test]
fn a_poll_set_that_changes_while_it_is_read_is_no_accident() {
    in_private_network(|| {
        // What the array held at that moment is chance; the accused thread is not.
        look_at("poll_set_that_changes", |finding| {
            assert_eq!(finding["subject"]["port"], 8080, "{finding:#}");
        });
    });
}

#[test]
fn escapes_in_the_name_of_a_file_that_is_waited_for_are_harmless() {
    in_private_network(|| {
        look_at("file_with_escapes_in_its_name", |finding| {
            assert!(says(finding, "for the lock on"), "{finding:#}");
            let table = doctor(&["scan", "--min-age", "300ms"]);
            let shown = String::from_utf8_lossy(&table.stdout);
            assert!(shown.contains("for the lock on"), "{shown}");
            assert!(!shown.contains('\u{1b}'), "{shown}");
            assert!(!shown.contains("\nCRITICAL  nothing"), "{shown}");
        });
    });
}
