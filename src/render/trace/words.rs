//! Words that events and conclusions share.

use crate::correlate::tracing::innermost;
use crate::model::{Actor, Call, Frame};
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

/// Where in the program a stack is: `handle_accept  server.c:18`; nothing where it is not known.
pub(super) fn place(stack: &[Frame]) -> Option<String> {
    innermost(stack).map(frame)
}

/// One frame: function and line; an address within the module where there is no symbol.
pub(super) fn frame(frame: &Frame) -> String {
    let module = escape(&frame.module);
    let function = match &frame.function {
        Some(function) => escape(function).into_owned(),
        None => format!("{module}+{:#x}", frame.offset),
    };
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{function}  {}:{line}", escape(file)),
        _ if frame.function.is_some() => format!("{function}  {module}+{:#x}", frame.offset),
        _ => function,
    }
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
