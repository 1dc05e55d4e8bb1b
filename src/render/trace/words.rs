//! Words that events and conclusions share.

use crate::model::{Actor, Call};
use crate::render::escape::escape;

/// `server[88324]`.
pub(super) fn process(actor: &Actor) -> String {
    format!("{}[{}]", escape(&actor.command), actor.pid)
}

/// `server[88324] thread 88330`, without the thread where it is the main one.
pub(super) fn thread(actor: &Actor) -> String {
    if actor.tid == actor.pid {
        return process(actor);
    }
    format!("{} thread {}", process(actor), actor.tid)
}

/// The name of a system call, or its number.
pub(super) fn call(machine: &str, number: u32) -> String {
    let known = Call::of_number(machine, number);
    known.map_or_else(|| format!("call {number}"), |call| call.name.to_owned())
}

/// `1 connection waits`, `5 connections wait`.
pub(super) fn connections_wait(count: u32) -> String {
    match count {
        1 => "1 connection waits".to_owned(),
        count => format!("{count} connections wait"),
    }
}

/// The name of an error of `accept`.
pub(super) fn errno(number: i32) -> String {
    let name = match number {
        4 => "EINTR",
        9 => "EBADF",
        11 => "EAGAIN",
        12 => "ENOMEM",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        103 => "ECONNABORTED",
        105 => "ENOBUFS",
        _ => return format!("error {number}"),
    };
    name.to_owned()
}
