//! Stands for the pass over all descriptors inside the kernel, in builds without it.

use std::path::Path;

use crate::collect::kernel::{DescriptorTables, KernelError, UnlistedSockets};
use crate::model::InodeSet;

/// A pass that is never possible.
#[derive(Default)]
pub(super) struct HolderPass {}

#[expect(
    clippy::unused_self,
    clippy::needless_pass_by_ref_mut,
    reason = "a build with the pass has a state"
)]
impl HolderPass {
    /// There is nothing to make ready.
    pub(super) fn end_look(&mut self) {}

    /// There is nothing to begin.
    pub(super) fn begin(&mut self, _: &Path) {}

    /// There are no tables from a pass.
    pub(super) fn tables(&mut self, _: &Path, _: &InodeSet) -> Option<DescriptorTables> {
        None
    }

    /// It is unknown.
    ///
    /// # Errors
    ///
    /// Always.
    pub(super) fn closed_sockets(&mut self, _: &Path) -> Result<UnlistedSockets, KernelError> {
        Err(KernelError::unsupported("closed sockets"))
    }
}
