//! `struct event` of `bpf/trace.bpf.c`: bytes to events.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::lines::micros;
use crate::model::{Actor, Ends, Event, EventKind, Pid, TcpState, Wait};

/// The size of `struct event`.
const EVENT_BYTES: usize = 128;

const KIND_ACCEPT: u8 = 1;
const KIND_WAIT: u8 = 2;
const KIND_STATE: u8 = 3;
const KIND_READ_FIRST: u8 = 4;
const KIND_READ_END: u8 = 5;
const KIND_WRITE_FIRST: u8 = 6;

const BY_PROCESS: u8 = 1;
const EXITING: u8 = 2;

const AF_INET: u16 = 2;

/// One event as the kernel's program wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The time on the kernel's monotonic clock.
    at: Duration,
    /// The thread that was current. It did what happened, unless that was a change by the kernel itself.
    actor: Actor,
    by_thread: bool,
    socket: u64,
    ends: Ends,
    kind: EventKind,
}

impl Record {
    /// The event, its time counted from the beginning of the trace.
    pub(super) fn event(&self, start: Duration) -> Event {
        Event {
            at: whole_micros(self.at.saturating_sub(start)),
            actor: self.by_thread.then(|| self.actor.clone()),
            socket: self.socket,
            ends: self.ends,
            kind: self.kind,
        }
    }
}

/// A saved trace has whole microseconds, and says the same.
pub(super) fn whole_micros(time: Duration) -> Duration {
    Duration::from_micros(micros(time))
}

/// Decodes one event; none where the bytes are not one.
pub(super) fn decode_event(bytes: &[u8]) -> Option<Record> {
    let fields = Fields(bytes.get(..EVENT_BYTES)?);
    let [kind, flags, old_state, new_state] = fields.array(74)?;
    let result = fields.i64(16)?;
    let kind = event_kind(&fields, kind, flags, [old_state, new_state], result)?;
    let family = fields.u16(68)?;
    let pid: Pid = fields.u32(32)?;
    Some(Record {
        at: Duration::from_nanos(fields.u64(0)?),
        actor: Actor {
            pid,
            tid: fields.u32(36)?,
            command: text(&fields.array::<16>(110)?),
        },
        by_thread: !matches!(kind, EventKind::State { .. }) || flags & BY_PROCESS != 0,
        socket: fields.u64(8)?,
        ends: Ends {
            local: address(family, fields.array(78)?, fields.u16(70)?),
            remote: address(family, fields.array(94)?, fields.u16(72)?),
        },
        kind,
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
    let fd = || fields.i32(44).and_then(|fd| u32::try_from(fd).ok());
    let queue = fields.u32(60)?;
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
            call: fields.u32(56)?,
            epoll: fields.i32(48).and_then(|set| u32::try_from(set).ok()),
            returns_at_once: result == 0,
            queue,
            limit: fields.u32(64)?,
            slept: Duration::from_nanos(fields.u64(24)?),
            woke: fields.i32(52)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of one kind, from what the tests are about.
    fn bytes(kind: u8, result: i64, flags: u8) -> Vec<u8> {
        let mut bytes = vec![0; EVENT_BYTES];
        bytes[0..8].copy_from_slice(&1_500_000_000_u64.to_ne_bytes()); // at_ns
        bytes[8..16].copy_from_slice(&7_u64.to_ne_bytes()); // sock
        bytes[16..24].copy_from_slice(&result.to_ne_bytes());
        bytes[32..36].copy_from_slice(&41_u32.to_ne_bytes()); // pid
        bytes[36..40].copy_from_slice(&42_u32.to_ne_bytes()); // tid
        bytes[44..48].copy_from_slice(&3_i32.to_ne_bytes()); // fd
        bytes[48..52].copy_from_slice(&(-1_i32).to_ne_bytes()); // wait_fd
        bytes[60..64].copy_from_slice(&5_u32.to_ne_bytes()); // queue
        bytes[68..70].copy_from_slice(&AF_INET.to_ne_bytes());
        bytes[70..72].copy_from_slice(&8080_u16.to_ne_bytes());
        bytes[72..74].copy_from_slice(&51004_u16.to_ne_bytes());
        bytes[74..78].copy_from_slice(&[kind, flags, 8, 9]);
        bytes[78..82].copy_from_slice(&[127, 0, 0, 1]);
        bytes[94..98].copy_from_slice(&[10, 0, 0, 5]);
        bytes[110..116].copy_from_slice(b"server");
        bytes
    }

    fn event(kind: u8, result: i64, flags: u8) -> Event {
        let record = decode_event(&bytes(kind, result, flags)).expect("an event");
        record.event(Duration::from_secs(1))
    }

    #[test]
    fn an_accept_names_its_thread_its_ends_and_what_is_left() {
        let event = event(KIND_ACCEPT, 9, 0);
        let accepted = EventKind::Accepted {
            listener: 3,
            fd: 9,
            queue: 5,
        };
        assert_eq!(event.kind, accepted);
        assert_eq!(event.at, Duration::from_millis(500));
        assert_eq!(event.ends.local.to_string(), "127.0.0.1:8080");
        assert_eq!(event.ends.remote.to_string(), "10.0.0.5:51004");
        let actor = event.actor.expect("a thread accepts");
        assert_eq!((actor.pid, actor.tid, &*actor.command), (41, 42, "server"));
    }

    #[test]
    fn an_accept_that_fails_has_its_error() {
        let failed = EventKind::AcceptFailed {
            listener: 3,
            errno: 24,
            queue: 5,
        };
        assert_eq!(event(KIND_ACCEPT, -24, 0).kind, failed);
    }

    #[test]
    fn a_change_by_the_kernel_is_not_blamed_on_the_current_thread() {
        assert_eq!(event(KIND_STATE, 0, 0).actor, None);
        assert!(event(KIND_STATE, 0, BY_PROCESS).actor.is_some());
        let changed = EventKind::State {
            from: TcpState::CloseWait,
            to: TcpState::LastAck,
            ending: true,
        };
        assert_eq!(event(KIND_STATE, 0, BY_PROCESS | EXITING).kind, changed);
    }

    #[test]
    fn a_wait_on_no_epoll_set_has_none() {
        let EventKind::Waits(wait) = event(KIND_WAIT, 0, 0).kind else {
            panic!("a wait");
        };
        assert_eq!((wait.epoll, wait.queue), (None, 5));
        assert!(wait.returns_at_once, "its time limit is 0");
    }

    #[test]
    fn what_is_cut_or_of_no_known_kind_is_no_event() {
        let whole = bytes(KIND_READ_END, 0, 0);
        assert!(decode_event(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(decode_event(&whole[..end]), None);
        }
        assert_eq!(decode_event(&bytes(99, 0, 0)), None);
    }
}
