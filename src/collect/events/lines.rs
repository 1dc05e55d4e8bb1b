//! The lines of a trace's file, and what they are in the model.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{
    Actor, Ends, Event, EventKind, Host, Pid, TcpState, Trace, TraceSource, TracedListener,
    TracedWatch, Wait,
};

/// The name of the format.
pub(super) const TRACE_SCHEMA: &str = "closewait-doctor.trace/v1";

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line {
    Trace(Box<Header>),
    Event(Box<EventLine>),
    End { elapsed_us: u64, lost_events: u64 },
}

#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) schema: String,
    tool_version: String,
    started_at: String,
    hostname: String,
    kernel: String,
    machine: String,
    source: SourceName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_traced_because: Option<String>,
    listeners: Vec<ListenerLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceName {
    Events,
    Polling,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ListenerLine {
    local: SocketAddr,
    queue: u32,
    holders: Vec<HolderLine>,
    watches: Vec<WatchLine>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct HolderLine {
    pid: Pid,
    fd: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WatchLine {
    pid: Pid,
    epoll_fd: u32,
    edge_triggered: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EventLine {
    pub(super) at_us: u64,
    socket: u64,
    local: SocketAddr,
    remote: SocketAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid: Option<Pid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tid: Option<Pid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum What {
    Accepted {
        listener_fd: u32,
        fd: u32,
        queue: u32,
    },
    AcceptFailed {
        listener_fd: u32,
        errno: i32,
        queue: u32,
    },
    Waits {
        listener_fd: u32,
        call: u32,
        epoll_fd: Option<u32>,
        returns_at_once: bool,
        queue: u32,
        limit: u32,
        slept_us: u64,
        woke: i32,
    },
    State {
        from: u8,
        to: u8,
        ending: bool,
    },
    FirstRead {
        fd: u32,
        bytes: u64,
    },
    EndRead {
        fd: u32,
    },
    FirstWrite {
        fd: u32,
        bytes: u64,
    },
    QueueSeen {
        queue: u32,
    },
    Seen {
        state: u8,
    },
    Gone,
}

pub(super) fn header(trace: &Trace) -> Header {
    let (source, why) = match &trace.source {
        TraceSource::Events => (SourceName::Events, None),
        TraceSource::Polling { why } => (SourceName::Polling, Some(why.clone())),
    };
    Header {
        schema: TRACE_SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: trace.started_at.clone(),
        hostname: trace.host.hostname.clone(),
        kernel: trace.host.kernel.clone(),
        machine: trace.host.machine.clone(),
        source,
        not_traced_because: why,
        listeners: trace.listeners.iter().map(listener_line).collect(),
    }
}

pub(super) fn begin(header: Header) -> Trace {
    Trace {
        started_at: header.started_at,
        host: Host {
            hostname: header.hostname,
            kernel: header.kernel,
            machine: header.machine,
        },
        source: match header.source {
            SourceName::Events => TraceSource::Events,
            SourceName::Polling => TraceSource::Polling {
                why: header.not_traced_because.unwrap_or_default(),
            },
        },
        listeners: header.listeners.into_iter().map(listener).collect(),
        events: Vec::new(),
        lost: 0,
        elapsed: Duration::ZERO,
    }
}

fn listener_line(listener: &TracedListener) -> ListenerLine {
    let holders = listener.holders.iter();
    let watches = listener.watches.iter();
    ListenerLine {
        local: listener.local,
        queue: listener.queue,
        holders: holders
            .map(|(pid, fd)| HolderLine { pid: *pid, fd: *fd })
            .collect(),
        watches: watches
            .map(|watch| WatchLine {
                pid: watch.pid,
                epoll_fd: watch.epoll_fd,
                edge_triggered: watch.edge_triggered,
            })
            .collect(),
    }
}

fn listener(line: ListenerLine) -> TracedListener {
    let holders = line.holders.into_iter();
    let watches = line.watches.into_iter();
    TracedListener {
        local: line.local,
        queue: line.queue,
        holders: holders.map(|holder| (holder.pid, holder.fd)).collect(),
        watches: watches
            .map(|watch| TracedWatch {
                pid: watch.pid,
                epoll_fd: watch.epoll_fd,
                edge_triggered: watch.edge_triggered,
            })
            .collect(),
    }
}

pub(super) fn event_line(event: &Event, socket: u64) -> EventLine {
    let actor = event.actor.as_ref();
    EventLine {
        at_us: micros(event.at),
        socket,
        local: event.ends.local,
        remote: event.ends.remote,
        pid: actor.map(|actor| actor.pid),
        tid: actor.map(|actor| actor.tid),
        command: actor.map(|actor| actor.command.clone()),
        what: what(event.kind),
    }
}

pub(super) fn event(line: EventLine) -> Event {
    let actor = line.pid.zip(line.tid).map(|(pid, tid)| Actor {
        pid,
        tid,
        command: line.command.unwrap_or_default(),
    });
    Event {
        at: Duration::from_micros(line.at_us),
        actor,
        socket: line.socket,
        ends: Ends {
            local: line.local,
            remote: line.remote,
        },
        kind: kind(line.what),
    }
}

fn what(kind: EventKind) -> What {
    match kind {
        EventKind::Accepted {
            listener,
            fd,
            queue,
        } => What::Accepted {
            listener_fd: listener,
            fd,
            queue,
        },
        EventKind::AcceptFailed {
            listener,
            errno,
            queue,
        } => What::AcceptFailed {
            listener_fd: listener,
            errno,
            queue,
        },
        EventKind::Waits(wait) => What::Waits {
            listener_fd: wait.listener,
            call: wait.call,
            epoll_fd: wait.epoll,
            returns_at_once: wait.returns_at_once,
            queue: wait.queue,
            limit: wait.limit,
            slept_us: micros(wait.slept),
            woke: wait.woke,
        },
        EventKind::State { from, to, ending } => What::State {
            from: from.number(),
            to: to.number(),
            ending,
        },
        EventKind::FirstRead { fd, bytes } => What::FirstRead { fd, bytes },
        EventKind::EndRead { fd } => What::EndRead { fd },
        EventKind::FirstWrite { fd, bytes } => What::FirstWrite { fd, bytes },
        EventKind::QueueSeen { queue } => What::QueueSeen { queue },
        EventKind::Seen { state } => What::Seen {
            state: state.number(),
        },
        EventKind::Gone => What::Gone,
    }
}

fn kind(what: What) -> EventKind {
    match what {
        What::Accepted {
            listener_fd,
            fd,
            queue,
        } => EventKind::Accepted {
            listener: listener_fd,
            fd,
            queue,
        },
        What::AcceptFailed {
            listener_fd,
            errno,
            queue,
        } => EventKind::AcceptFailed {
            listener: listener_fd,
            errno,
            queue,
        },
        What::Waits {
            listener_fd,
            call,
            epoll_fd,
            returns_at_once,
            queue,
            limit,
            slept_us,
            woke,
        } => EventKind::Waits(Wait {
            listener: listener_fd,
            call,
            epoll: epoll_fd,
            returns_at_once,
            queue,
            limit,
            slept: Duration::from_micros(slept_us),
            woke,
        }),
        What::State { from, to, ending } => EventKind::State {
            from: TcpState::from_number(from),
            to: TcpState::from_number(to),
            ending,
        },
        What::FirstRead { fd, bytes } => EventKind::FirstRead { fd, bytes },
        What::EndRead { fd } => EventKind::EndRead { fd },
        What::FirstWrite { fd, bytes } => EventKind::FirstWrite { fd, bytes },
        What::QueueSeen { queue } => EventKind::QueueSeen { queue },
        What::Seen { state } => EventKind::Seen {
            state: TcpState::from_number(state),
        },
        What::Gone => EventKind::Gone,
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
