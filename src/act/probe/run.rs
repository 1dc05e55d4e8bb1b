//! Opens the connections of a probe, one after another.

use super::connection;
use super::options::ProbeOptions;
use super::result::{CutShort, Probe, ProbeConnection};
use crate::act::queue::{Queue, read_queue};
use crate::act::target::Target;
use crate::collect::kernel::{Kernel, KernelError};
use crate::collect::sock_diag;

/// Opens the connections, one after another, and watches each. It stops before a connection that
/// would keep a client out.
///
/// # Errors
///
/// When the kernel does not show the queue. A connection that does not come about is a result.
pub fn probe(
    kernel: &mut dyn Kernel,
    target: &Target,
    options: &ProbeOptions,
) -> Result<Probe, KernelError> {
    let started = kernel.elapsed()?;
    let port_is_shared = port_is_shared(kernel, target)?;
    let before = read_queue(kernel, target)?.unwrap_or_default();
    let mut connections = Vec::new();
    let mut open = Vec::new();
    let mut cut_short = None;
    for number in 0..options.count {
        if number > 0 {
            cut_short = reason_to_stop(&connections, read_queue(kernel, target)?);
        }
        if cut_short.is_some() {
            break;
        }
        let (connection, socket) = connection::open_and_watch(kernel, target, options)?;
        let ends = connection.listener_gone;
        // An accepted connection is closed here.
        open.extend(socket.filter(|_| !connection.was_accepted()));
        connections.push(connection);
        if ends {
            break;
        }
    }
    let after = read_queue(kernel, target)?.unwrap_or_default();
    drop(open);
    Ok(Probe {
        target: target.clone(),
        port_is_shared,
        before,
        after,
        connections,
        cut_short,
        timeout: options.timeout,
        wait: options.wait,
        payload_bytes: options.send.as_ref().map_or(0, Vec::len),
        elapsed: kernel.elapsed()?.saturating_sub(started),
    })
}

/// Whether other listeners use the port: then the port alone does not name the listener.
fn port_is_shared(kernel: &mut dyn Kernel, target: &Target) -> Result<bool, KernelError> {
    let port = target.local.port();
    let (listeners, _) = sock_diag::read_listeners(kernel, &[port.into()])?;
    Ok(listeners
        .iter()
        .any(|other| other.local.port() == port && other.local != target.local))
}

/// Returns why a further connection would do harm.
fn reason_to_stop(connections: &[ProbeConnection], queue: Option<Queue>) -> Option<CutShort> {
    if connections.iter().any(|one| one.refusal.is_some()) {
        return Some(CutShort::Refused);
    }
    let queue = queue?;
    // The kernel admits one more than the limit: that place is left to a client.
    let is_full = queue
        .limit
        .is_some_and(|limit| queue.length >= limit.max(1));
    is_full.then_some(CutShort::NoPlaceLeft)
}
