//! A build that cannot trace.

use std::convert::Infallible;
use std::time::Duration;

use super::TraceError;
use crate::model::{Event, TraceFilter};

/// A trace that cannot be.
pub struct Tracer(Infallible);

impl Tracer {
    /// Refuses.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn start(_filter: &TraceFilter) -> Result<Self, TraceError> {
        Err(TraceError::NotBuilt)
    }

    /// Never called.
    pub fn read(&mut self, _at_most: Duration) -> Vec<Event> {
        match self.0 {}
    }

    /// Never called.
    pub fn lost(&self) -> u64 {
        match self.0 {}
    }

    /// Never called.
    pub fn elapsed(&self) -> Duration {
        match self.0 {}
    }
}
