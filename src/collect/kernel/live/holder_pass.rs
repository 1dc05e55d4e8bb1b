//! The pass over all descriptors inside the kernel, as far as it has come in one look.

use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::bpf::{ClosedSockets, Pass, Passes};
use super::unlisted;
use crate::collect::kernel::{DescriptorTables, KernelError, UnlistedSockets};
use crate::model::InodeSet;

/// What a look has of its pass. What was learnt about the kernel itself is kept for the next look.
#[derive(Default)]
pub(super) struct HolderPass {
    passes: Arc<Passes>,
    stage: Stage,
}

/// How far it is.
#[derive(Default)]
enum Stage {
    /// No search for holders has been requested yet.
    #[default]
    NotBegun,
    /// It goes on while sockets are dumped.
    UnderWay(JoinHandle<Option<Pass>>),
    /// The holders were told, and these sockets were found by the way, which are told once.
    Told(Option<Vec<ClosedSockets>>),
}

impl HolderPass {
    /// Makes ready for the next look, and waits for what is still under way for this one.
    pub(super) fn end_look(&mut self) {
        self.finish();
        self.stage = Stage::NotBegun;
    }

    /// Begins the pass, unless it has begun.
    pub(super) fn begin(&mut self, procfs: &Path) {
        if !matches!(self.stage, Stage::NotBegun) {
            return;
        }
        let (procfs, passes) = (procfs.to_owned(), Arc::clone(&self.passes));
        // A host that has no thread to give is looked at without.
        if let Ok(thread) = Builder::new().spawn(move || passes.run(&procfs)) {
            self.stage = Stage::UnderWay(thread);
        }
    }

    /// The descriptor tables that hold one of the sockets; nothing where no pass is possible. What
    /// came after the pass that was begun went by is found by a new one.
    pub(super) fn tables(&mut self, procfs: &Path, wanted: &InodeSet) -> Option<DescriptorTables> {
        let pass = self
            .finish()
            .filter(|pass| pass.finds_all(wanted))
            .or_else(|| self.passes.run(procfs));
        self.stage = Stage::Told(None);
        let mut pass = pass?;
        let closed = std::mem::take(&mut pass.closed);
        let tables = pass.tables(procfs, wanted)?;
        self.stage = Stage::Told(Some(closed));
        Some(tables)
    }

    /// The sockets whose connection is gone, by their own word.
    ///
    /// # Errors
    ///
    /// When no pass is possible, or the namespace of this thread cannot be read.
    pub(super) fn closed_sockets(&mut self, procfs: &Path) -> Result<UnlistedSockets, KernelError> {
        let found_before = match &mut self.stage {
            Stage::Told(closed) => closed.take(),
            Stage::NotBegun => None,
            Stage::UnderWay(_) => self.finish().map(|pass| pass.closed),
        };
        let closed = found_before.or_else(|| self.passes.run(procfs).map(|pass| pass.closed));
        let closed = closed.ok_or_else(|| KernelError::unsupported("closed sockets"))?;
        unlisted::of_closed(procfs, &closed)
            .map_err(|error| KernelError::new("thread-self/ns/net", &error))
    }

    /// Waits for the pass that is under way, if one is.
    fn finish(&mut self) -> Option<Pass> {
        match std::mem::take(&mut self.stage) {
            Stage::UnderWay(thread) => thread.join().ok().flatten(),
            other => {
                self.stage = other;
                None
            }
        }
    }
}
