//! What is read between steps: time, and the length of the queue.

use std::time::Duration;

use super::fault::Fault;
use crate::act::queue::read_queue;
use crate::act::target::Target;
use crate::collect::kernel::Kernel;

/// Reads the length of a target's queue.
///
/// # Errors
///
/// When the listener was closed, or the kernel does not show it.
pub(super) fn read_length(kernel: &mut dyn Kernel, target: &Target) -> Result<u32, Fault> {
    match read_queue(kernel, target)? {
        Some(queue) => Ok(queue.length),
        None => Err(Fault::Changed("the listener was closed".to_owned())),
    }
}

/// Reads the time since the run began.
///
/// # Errors
///
/// Never on a running kernel.
pub(super) fn read_time(kernel: &mut dyn Kernel) -> Result<Duration, Fault> {
    Ok(kernel.elapsed()?)
}
