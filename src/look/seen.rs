//! What a look saw.

use std::sync::Arc;
use std::time::Duration;

use crate::correlate::Analysis;
use crate::model::{Scope, Snapshot};
use crate::report::{Circumstances, Report};
use crate::rules;

/// Everything that one look saw, in one or several network namespaces, correlated.
pub struct Look {
    scope: Scope,
    recorded: bool,
    /// One for each namespace; at least one.
    analyses: Vec<Arc<Analysis>>,
}

impl Look {
    /// Correlates what was seen in each namespace.
    pub(super) fn new(
        scope: Scope,
        recorded: bool,
        snapshots: Vec<Snapshot>,
        grace: Duration,
    ) -> Self {
        Self {
            scope,
            recorded,
            analyses: snapshots
                .into_iter()
                .map(|snapshot| Arc::new(Analysis::new(snapshot, grace)))
                .collect(),
        }
    }

    /// Returns what was seen in each network namespace, correlated; there is at least one.
    pub fn analyses(&self) -> &[Arc<Analysis>] {
        &self.analyses
    }

    /// Returns what was seen in the first network namespace. With a scope of one namespace this is
    /// everything.
    ///
    /// # Panics
    ///
    /// Never: a look that saw no namespace is an error.
    pub fn analysis(&self) -> &Arc<Analysis> {
        self.analyses.first().expect("a look has a namespace")
    }

    /// Judges each namespace by itself, and puts the reports together. `taken_at` is when the look was
    /// taken (RFC 3339, UTC).
    ///
    /// # Panics
    ///
    /// Never: a look that saw no namespace is an error.
    pub fn report(&self, taken_at: &str) -> Report {
        let reports = self.analyses.iter().map(|analysis| {
            let circumstances = Circumstances {
                taken_at: taken_at.to_owned(),
                scope: self.scope.clone(),
                replayed: self.recorded,
            };
            Report::new(
                Arc::clone(analysis),
                rules::diagnose(analysis),
                circumstances,
            )
        });
        let merged = reports.reduce(Report::merge);
        merged.expect("a look has a namespace")
    }
}
