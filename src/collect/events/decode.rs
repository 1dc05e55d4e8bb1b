//! `struct event` of `bpf/trace.bpf.c`: bytes to events.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::model::{Actor, Ends, Event, EventKind, Pid, TcpState, Wait};

/// The bytes of `struct event` before the stack.
pub(super) const HEAD_BYTES: usize = 156;

const KIND_ACCEPT: u8 = 1;
const KIND_WAIT: u8 = 2;
const KIND_STATE: u8 = 3;
const KIND_READ_FIRST: u8 = 4;
const KIND_READ_END: u8 = 5;
const KIND_WRITE_FIRST: u8 = 6;

const BY_PROCESS: u8 = 1;
const EXITING: u8 = 2;

const AF_INET: u16 = 2;

/// One event as the kernel's program wrote it, and the top of the stack of its thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record<'b> {
    /// The time on the kernel's monotonic clock.
    pub(super) at: Duration,
    /// The thread that was current. It did what happened, unless that was a change by the kernel itself.
    pub(super) actor: Actor,
    pub(super) by_thread: bool,
    pub(super) socket: u64,
    pub(super) ends: Ends,
    pub(super) kind: EventKind,
    pub(super) registers: Registers,
    /// The top of the stack, from the stack pointer upwards.
    pub(super) stack: &'b [u8],
}

/// The user's registers that a stack is unwound from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Registers {
    /// The instruction pointer.
    pub(super) ip: u64,
    /// The stack pointer.
    pub(super) sp: u64,
    /// The frame pointer.
    pub(super) bp: u64,
}

impl Record<'_> {
    /// The event, its time counted from the beginning of the trace.
    pub(super) fn event(&self, start: Duration) -> Event {
        Event {
            at: self.at.saturating_sub(start),
            actor: self.by_thread.then(|| self.actor.clone()),
            socket: self.socket,
            ends: self.ends,
            kind: self.kind,
            stack: Vec::new(),
        }
    }
}

/// Decodes one event; none where the bytes are not one.
pub(super) fn decode_event(bytes: &[u8]) -> Option<Record<'_>> {
    let (head, stack) = bytes.split_at_checked(HEAD_BYTES)?;
    let fields = Fields(head);
    let [kind, flags, old_state, new_state] = fields.array(98)?;
    let result = fields.i64(16)?;
    let kind = event_kind(&fields, kind, flags, [old_state, new_state], result)?;
    let stack_bytes = usize::try_from(fields.u32(152)?).ok()?;
    let family = fields.u16(92)?;
    let pid: Pid = fields.u32(56)?;
    Some(Record {
        at: Duration::from_nanos(fields.u64(0)?),
        actor: Actor {
            pid,
            tid: fields.u32(60)?,
            command: text(&fields.array::<16>(134)?),
        },
        by_thread: !matches!(kind, EventKind::State { .. }) || flags & BY_PROCESS != 0,
        socket: fields.u64(8)?,
        ends: Ends {
            local: address(family, fields.array(102)?, fields.u16(94)?),
            remote: address(family, fields.array(118)?, fields.u16(96)?),
        },
        kind,
        registers: Registers {
            ip: fields.u64(32)?,
            sp: fields.u64(40)?,
            bp: fields.u64(48)?,
        },
        stack: stack.get(..stack_bytes)?,
    })
}

fn event_kind(
    fields: &Fields,
    kind: u8,
    flags: u8,
    states: [u8; 2],
    result: i64,
) -> Option<EventKind> {
    // A descriptor that the kernel passes on is not negative.
    let fd = || fields.i32(68).and_then(|fd| u32::try_from(fd).ok());
    let queue = fields.u32(84)?;
    Some(match kind {
        KIND_ACCEPT => match u32::try_from(result) {
            Ok(accepted) => EventKind::Accepted {
                listener: fd()?,
                fd: accepted,
                queue,
            },
            Err(_) => EventKind::AcceptFailed {
                listener: fd()?,
                errno: i32::try_from(-result).ok()?,
                queue,
            },
        },
        KIND_WAIT => EventKind::Waits(Wait {
            listener: fd()?,
            call: fields.u32(80)?,
            epoll: fields.i32(72).and_then(|set| u32::try_from(set).ok()),
            returns_at_once: result == 0,
            queue,
            limit: fields.u32(88)?,
            slept: Duration::from_nanos(fields.u64(24)?),
            woke: fields.i32(76)?,
        }),
        KIND_STATE => EventKind::State {
            from: TcpState::from_number(states[0]),
            to: TcpState::from_number(states[1]),
            ending: flags & EXITING != 0,
        },
        KIND_READ_FIRST => EventKind::FirstRead {
            fd: fd()?,
            bytes: u64::try_from(result).ok()?,
        },
        KIND_READ_END => EventKind::EndRead { fd: fd()? },
        KIND_WRITE_FIRST => EventKind::FirstWrite {
            fd: fd()?,
            bytes: u64::try_from(result).ok()?,
        },
        _ => return None,
    })
}

fn address(family: u16, bytes: [u8; 16], port: u16) -> SocketAddr {
    let ip = if family == AF_INET {
        let [a, b, c, d, ..] = bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes))
    };
    SocketAddr::new(ip, port)
}

/// The text up to the first zero; invalid UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// The fields of a C structure by their offsets, in the byte order of this machine.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at + N)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_ne_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_ne_bytes)
    }

    fn i32(&self, at: usize) -> Option<i32> {
        self.array(at).map(i32::from_ne_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_ne_bytes)
    }

    fn i64(&self, at: usize) -> Option<i64> {
        self.array(at).map(i64::from_ne_bytes)
    }
}
