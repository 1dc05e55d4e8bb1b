//! What is served: made by whoever looks, taken by whoever serves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The pages after one look.
pub struct Pages {
    /// Metrics in the text format, without their end.
    pub text: Vec<u8>,
    /// Metrics as OpenMetrics, without their end.
    pub open_metrics: Vec<u8>,
    /// The JSON report, where it is served at all.
    pub report: Option<Vec<u8>>,
    /// Until when the exporter counts as healthy, if no other look comes.
    pub fresh_until: Instant,
}

/// The pages after the last look. A reader gets those that are there, and never waits for a look.
#[derive(Clone)]
pub struct Published(Arc<Mutex<Arc<Pages>>>);

impl Published {
    /// Begins with these.
    pub fn new(pages: Pages) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(pages))))
    }

    /// Puts others in their place.
    pub fn replace(&self, pages: Pages) {
        // The lock is held only to copy a pointer: nothing can fail under it.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(pages);
    }

    /// Returns those of the last look.
    pub(super) fn latest(&self) -> Arc<Pages> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
