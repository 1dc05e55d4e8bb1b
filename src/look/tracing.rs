//! Follows sockets for a while: a look, then events as they happen, then a look again.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use super::error::LookError;
use super::options::LookOptions;
use super::seen::Look;
use super::session::Session;
use super::take::take;
use crate::collect::events::{TraceError, Tracer};
use crate::collect::kernel::Kernel;
use crate::collect::sock_diag::{self, Wanted};
use crate::correlate::tracing::{changes, conclude, trace_filter, traced_listeners};
use crate::model::{
    Ends, Event, EventKind, InodeSet, Scope, SocketTable, Trace, TraceSource, TracedListener,
};

/// What to follow, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// How to look before and after.
    pub look: LookOptions,
    /// When it begins (RFC 3339, UTC).
    pub started_at: String,
    /// How long it lasts.
    pub lasts: Duration,
    /// Whether it ends before, as soon as clients wait because of something that was seen.
    pub until_stuck: bool,
}

/// A trace, and the look that followed it.
pub struct Traced {
    /// The trace.
    pub trace: Trace,
    /// The look.
    pub after: Look,
}

/// Gets each batch of events, and the trace before them; a break ends the trace.
pub type Onlooker<'a> = dyn FnMut(&Trace, &[Event]) -> ControlFlow<()> + 'a;

/// Between two looks at the sockets where nothing can be traced.
const POLL: Duration = Duration::from_millis(100);

/// Between two conclusions from what was seen so far.
const CONCLUDE: Duration = Duration::from_millis(500);

/// Follows what the options select. Where no program may be loaded into the kernel, the sockets are looked at
/// again and again, and the trace says so.
///
/// # Errors
///
/// When no socket can be read at all, or a process or a namespace that was named is not there.
pub fn follow(
    kernel: &mut dyn Kernel,
    options: &TraceOptions,
    onlooker: &mut Onlooker,
) -> Result<Traced, LookError> {
    let before = LookOptions {
        inventory: true,
        observe: Duration::ZERO,
        ..options.look.clone()
    };
    let first = take(kernel, &before)?;
    let netns = netns_number(kernel, &options.look.scope)?;
    let filter = trace_filter(first.analyses(), &options.look.scope, netns);
    let mut trace = Trace {
        started_at: options.started_at.clone(),
        host: kernel.host(),
        source: TraceSource::Events,
        listeners: traced_listeners(first.analyses()),
        events: Vec::new(),
        lost: 0,
        elapsed: Duration::ZERO,
    };
    match Tracer::start(&filter) {
        Ok(tracer) => follow_events(tracer, options, &mut trace, onlooker),
        Err(why) => poll(kernel, &why, options, &mut trace, onlooker)?,
    }
    let after = take(kernel, &options.look)?;
    let listeners = traced_listeners(after.analyses());
    let queues = queues_at(&listeners, trace.elapsed);
    // The trace is over; whether its onlooker has seen enough does not matter any more.
    let _ = add(&mut trace, queues, onlooker);
    add_watches(&mut trace.listeners, listeners);
    Ok(Traced { trace, after })
}

fn follow_events(
    mut tracer: Tracer,
    options: &TraceOptions,
    trace: &mut Trace,
    onlooker: &mut Onlooker,
) {
    // Says that it has begun.
    let mut step = onlooker(trace, &[]);
    let mut concluded = Duration::ZERO;
    while step.is_continue() && tracer.elapsed() < options.lasts {
        let events = tracer.read(options.lasts.saturating_sub(tracer.elapsed()));
        trace.elapsed = tracer.elapsed();
        trace.lost = tracer.lost();
        step = add(trace, events, onlooker);
        if options.until_stuck && trace.elapsed >= concluded + CONCLUDE {
            concluded = trace.elapsed;
            if conclude(trace, options.look.grace).has_fault() {
                break;
            }
        }
    }
}

fn add(trace: &mut Trace, events: Vec<Event>, onlooker: &mut Onlooker) -> ControlFlow<()> {
    if events.is_empty() {
        return ControlFlow::Continue(());
    }
    let step = onlooker(trace, &events);
    trace.events.extend(events);
    step
}

fn poll(
    kernel: &mut dyn Kernel,
    why: &TraceError,
    options: &TraceOptions,
    trace: &mut Trace,
    onlooker: &mut Onlooker,
) -> Result<(), LookError> {
    trace.source = TraceSource::Polling {
        why: why.to_string(),
    };
    let scope = &options.look.scope;
    let mut session = Session::begin(kernel, scope, options.lasts)?;
    let mut step = onlooker(trace, &[]);
    let mut known = read(session.kernel(), scope);
    while step.is_continue() && trace.elapsed < options.lasts {
        session.kernel().pause(POLL);
        trace.elapsed = session.kernel().elapsed().unwrap_or(options.lasts);
        let Some(now) = read(session.kernel(), scope) else {
            continue;
        };
        let events = known
            .as_ref()
            .map_or_else(Vec::new, |known| changes(known, &now, trace.elapsed));
        known = Some(now);
        step = add(trace, events, onlooker);
    }
    session.end().map_err(LookError::NotBack)
}

/// The sockets in scope; none where they could not be read this time.
fn read(kernel: &mut dyn Kernel, scope: &Scope) -> Option<SocketTable> {
    let (listeners, _) = sock_diag::read_listeners(kernel, &scope.ports).ok()?;
    let inodes: InodeSet = listeners.iter().filter_map(|one| one.inode).collect();
    let read = sock_diag::read_connections(kernel, Wanted::Every, &scope.ports, &inodes);
    let (mut connections, _) = read.ok()?;
    let ports: Vec<u16> = listeners.iter().map(|one| one.local.port()).collect();
    // Of a connection within this host both ends are listed.
    if !ports.is_empty() {
        connections.retain(|connection| ports.contains(&connection.local.port()));
    }
    Some(SocketTable {
        listeners,
        other_listeners: Vec::new(),
        connections,
    })
}

/// The number of the namespace that the scope names; none for all.
fn netns_number(kernel: &mut dyn Kernel, scope: &Scope) -> Result<Option<u32>, LookError> {
    if scope.all_netns {
        return Ok(None);
    }
    let mut session = Session::begin(kernel, scope, Duration::ZERO)?;
    let link = session.kernel().read_link("thread-self/ns/net");
    session.end().map_err(LookError::NotBack)?;
    Ok(link.ok().and_then(|link| {
        let digits = link.strip_prefix("net:[")?.strip_suffix(']')?;
        digits.parse().ok()
    }))
}

/// The queues that are not empty when the trace ends: where no thread calls `accept`, no event tells their length.
fn queues_at(listeners: &[TracedListener], at: Duration) -> Vec<Event> {
    let filled = listeners.iter().filter(|listener| listener.queue > 0);
    filled
        .map(|listener| Event {
            at,
            actor: None,
            socket: 0,
            ends: Ends {
                local: listener.local,
                remote: SocketAddr::new([0, 0, 0, 0].into(), 0),
            },
            kind: EventKind::QueueSeen {
                queue: listener.queue,
            },
        })
        .collect()
}

/// Epoll sets are read of suspicious listeners only, so the second look may know more.
fn add_watches(listeners: &mut [TracedListener], later: Vec<TracedListener>) {
    for newer in later {
        let same = listeners.iter_mut().find(|one| one.local == newer.local);
        if let Some(known) = same
            && known.watches.is_empty()
        {
            known.watches = newer.watches;
        }
    }
}
