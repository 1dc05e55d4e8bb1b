//! What `ss` says about the accept queues, to check the doctor against.

use std::net::TcpStream;
use std::process::Command;

use super::{PORT, wait_until};

/// The two queue columns of a listener.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Queue {
    pub(crate) length: u64,
    pub(crate) limit: u64,
}

/// The accept queues of all listeners on the port.
pub(crate) fn queues() -> Vec<Queue> {
    rows(&["-ltn", "sport", "=", &format!(":{PORT}")])
        .map(|(length, limit)| Queue { length, limit })
        .collect()
}

/// The accept queue of the only listener on the port.
pub(crate) fn queue() -> Queue {
    let queues = queues();
    assert_eq!(queues.len(), 1, "{queues:?}");
    queues[0]
}

/// Waits until so many connections wait to be accepted.
pub(crate) fn wait_for_queue(length: u64) {
    wait_until(&format!("{length} connections wait"), || {
        queues().iter().map(|queue| queue.length).sum::<u64>() == length
    });
}

/// How much of what a client sent the server has not read yet.
pub(crate) fn unread_by_server(client: &TcpStream) -> u64 {
    let client = client.local_addr().expect("it is connected").port();
    let filter = [
        "-tn",
        "sport",
        "=",
        &format!(":{PORT}"),
        "and",
        "dport",
        "=",
        &format!(":{client}"),
    ];
    rows(&filter).map(|(unread, _)| unread).sum()
}

/// Waits until the server has so many connections in `CLOSE_WAIT`, each with such a number of unread bytes (the end counts
/// as one).
pub(crate) fn wait_for_close_waits(count: usize, is_unread: impl Fn(u64) -> bool) {
    wait_until(&format!("{count} connections are in CLOSE_WAIT"), || {
        let filter = [
            "-tn",
            "state",
            "close-wait",
            "sport",
            "=",
            &format!(":{PORT}"),
        ];
        let unread: Vec<u64> = rows(&filter).map(|(unread, _)| unread).collect();
        unread.len() == count && unread.into_iter().all(&is_unread)
    });
}

/// The columns Recv-Q and Send-Q.
fn rows(arguments: &[&str]) -> impl Iterator<Item = (u64, u64)> {
    let output = Command::new("ss")
        .arg("-H")
        .args(arguments)
        .output()
        .expect("ss is installed");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("addresses and numbers");
    let rows: Vec<(u64, u64)> = text.lines().map(parse_row).collect();
    rows.into_iter()
}

/// A state comes first, unless one was asked for.
fn parse_row(row: &str) -> (u64, u64) {
    let mut numbers = row
        .split_whitespace()
        .filter_map(|column| column.parse().ok());
    let mut next = || numbers.next().expect("two queue columns");
    (next(), next())
}
