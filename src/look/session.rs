//! The beginning and the end of a look.

use std::time::Duration;

use super::error::LookError;
use crate::collect::kernel::{Kernel, KernelError};
use crate::model::Scope;

/// A look that has begun. When it ends, also on an error, everything it opened is closed and the thread is back
/// in its own network namespace.
pub(super) struct Session<'k> {
    kernel: &'k mut dyn Kernel,
    ended: bool,
}

impl<'k> Session<'k> {
    /// Begins a look, in the network namespace that is named, if one is.
    pub(super) fn begin(
        kernel: &'k mut dyn Kernel,
        scope: &Scope,
        budget: Duration,
    ) -> Result<Self, LookError> {
        kernel.begin_look(budget);
        let session = Self {
            kernel,
            ended: false,
        };
        if let Some(name) = &scope.netns {
            session
                .kernel
                .enter_named(name)
                .map_err(|error| LookError::Namespace {
                    name: name.clone(),
                    error,
                })?;
        }
        Ok(session)
    }

    /// The kernel that is asked.
    pub(super) fn kernel(&mut self) -> &mut dyn Kernel {
        self.kernel
    }

    /// Ends the look.
    ///
    /// # Errors
    ///
    /// When the thread cannot go back to the network namespace it was in.
    pub(super) fn end(mut self) -> Result<(), KernelError> {
        self.ended = true;
        self.kernel.end_look()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // The look has failed already; that error is the one to report.
            let _ = self.kernel.end_look();
        }
    }
}
