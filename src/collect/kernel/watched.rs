//! A kernel that tells what it is being asked, and stops a look that a person does not want to wait for.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{
    DescriptorTables, FoundNamespace, HiddenDescriptors, Kernel, KernelError, LinkHolders,
    SocketDump, UnixSocket, UnlistedSockets,
};
use crate::model::{Host, InodeSet};

/// What a look is doing, for whoever waits for it; and whether it shall come to its end.
#[derive(Debug, Default)]
pub struct Progress {
    doing: Mutex<&'static str>,
    processes: AtomicUsize,
    namespace: AtomicUsize,
    namespaces: AtomicUsize,
    /// Set to end the look: it reports what it has.
    pub interrupted: Arc<AtomicBool>,
}

impl Progress {
    /// What is being done, and how far it is.
    pub fn text(&self) -> String {
        let doing = *self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        let of_namespaces = match load(&self.namespaces) {
            0 | 1 => String::new(),
            all => format!("namespace {} of {all}: ", load(&self.namespace).min(all)),
        };
        let so_far = match load(&self.processes) {
            0 => String::new(),
            number => format!(" ({number} processes read)"),
        };
        format!("{of_namespaces}{doing}{so_far}")
    }

    /// Whether the look was told to come to its end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn note(&self, doing: &'static str) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }
}

/// A pause is cut into pieces of this length, so that an interruption ends it.
const PIECE: Duration = Duration::from_millis(50);

/// Asks another kernel, and notes what.
pub struct WatchedKernel<'k> {
    inner: &'k mut dyn Kernel,
    progress: Arc<Progress>,
}

impl<'k> WatchedKernel<'k> {
    /// Notes in `progress` what is asked of `inner`.
    pub fn new(inner: &'k mut dyn Kernel, progress: Arc<Progress>) -> Self {
        Self { inner, progress }
    }
}

impl Kernel for WatchedKernel<'_> {
    fn host(&mut self) -> Host {
        self.inner.host()
    }

    fn namespaces(&mut self) -> Result<Vec<FoundNamespace>, KernelError> {
        self.progress.note("finding network namespaces");
        let found = self.inner.namespaces()?;
        self.progress
            .namespaces
            .store(found.len(), Ordering::Relaxed);
        Ok(found)
    }

    fn enter(&mut self, namespace: &FoundNamespace) -> Result<(), KernelError> {
        self.progress.namespace.fetch_add(1, Ordering::Relaxed);
        self.inner.enter(namespace)
    }

    fn enter_named(&mut self, name: &str) -> Result<(), KernelError> {
        self.inner.enter_named(name)
    }

    fn is_recorded(&self) -> bool {
        self.inner.is_recorded()
    }

    fn elapsed(&mut self) -> Result<Duration, KernelError> {
        self.inner.elapsed()
    }

    fn pause(&mut self, time: Duration) {
        self.progress.note("watching");
        let mut left = time;
        while !left.is_zero() && !self.progress.is_interrupted() {
            let piece = left.min(PIECE);
            self.inner.pause(piece);
            left -= piece;
        }
    }

    fn dump_sockets(
        &mut self,
        request: &SocketDump,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KernelError> {
        self.progress.note("reading sockets");
        self.inner.dump_sockets(request, sink)
    }

    fn begin_look(&mut self, budget: Duration) {
        self.inner.begin_look(budget);
    }

    fn is_out_of_time(&self) -> bool {
        self.progress.is_interrupted() || self.inner.is_out_of_time()
    }

    fn end_look(&mut self) -> Result<(), KernelError> {
        self.inner.end_look()
    }

    fn expect_descriptor_tables(&mut self) {
        self.inner.expect_descriptor_tables();
    }

    fn descriptor_tables(&mut self, wanted: &InodeSet) -> Result<DescriptorTables, KernelError> {
        self.progress.note("finding who holds them");
        self.inner.descriptor_tables(wanted)
    }

    fn hidden_descriptors(&mut self, wanted: &InodeSet) -> Result<HiddenDescriptors, KernelError> {
        self.progress.note("searching for hidden holders");
        self.inner.hidden_descriptors(wanted)
    }

    fn unlisted_sockets(
        &mut self,
        listed: Option<&InodeSet>,
    ) -> Result<UnlistedSockets, KernelError> {
        self.progress
            .note("searching for sockets that are closed already");
        self.inner.unlisted_sockets(listed)
    }

    fn link_holders(&mut self, targets: &BTreeSet<String>) -> Result<LinkHolders, KernelError> {
        self.progress.note("following what they wait for");
        self.inner.link_holders(targets)
    }

    fn unix_sockets(&mut self) -> Result<Vec<UnixSocket>, KernelError> {
        self.progress.note("following what they wait for");
        self.inner.unix_sockets()
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, KernelError> {
        // The command line is read once of every process.
        if path.ends_with("/cmdline") {
            self.progress.note("reading processes");
            self.progress.processes.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.read(path)
    }

    fn read_at(&mut self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, KernelError> {
        self.inner.read_at(path, offset, len)
    }

    fn read_link(&mut self, path: &str) -> Result<String, KernelError> {
        self.inner.read_link(path)
    }

    fn list_numbers(&mut self, path: &str) -> Result<Vec<u32>, KernelError> {
        self.inner.list_numbers(path)
    }

    fn list_lowest(&mut self, path: &str, most: usize) -> Result<Vec<u32>, KernelError> {
        self.inner.list_lowest(path, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_is_done_and_how_far() {
        let progress = Progress::default();
        progress.note("reading sockets");
        assert_eq!(progress.text(), "reading sockets");
        progress.namespaces.store(3, Ordering::Relaxed);
        progress.namespace.store(2, Ordering::Relaxed);
        progress.processes.store(40, Ordering::Relaxed);
        assert_eq!(
            progress.text(),
            "namespace 2 of 3: reading sockets (40 processes read)"
        );
    }
}
