//! What a rule is.

use super::finding::Finding;
use crate::correlate::{Analysis, Leak, Outage, StuckListener};
use crate::model::DeadDescriptors;

/// A rule: its name, its page, and what it checks.
pub struct Rule {
    /// Its id, a public promise.
    pub id: &'static str,
    /// Its page, in Markdown.
    pub page: &'static str,
    pub(super) check: Check,
}

impl Rule {
    /// Returns the sentence below the title of its page.
    pub fn summary(&self) -> &'static str {
        summary_of(self.page)
    }
}

/// Returns the sentence below the title of a page.
pub fn summary_of(page: &str) -> &str {
    page.lines().nth(2).unwrap_or_default()
}

pub(super) enum Check {
    /// Why connections wait at a listener; at most one such rule is reported for a listener.
    Cause(fn(&Analysis, &StuckListener) -> Option<Finding>),
    /// What else is wrong with a listener's queue.
    Queue(fn(&Analysis, &StuckListener) -> Option<Finding>),
    /// What is wrong with connections that a process holds.
    Leak(fn(&Analysis, &Leak) -> Option<Finding>),
    /// Live clients that are not served.
    Outage(fn(&Analysis, &Outage) -> Option<Finding>),
    /// What is wrong with descriptors that no socket list shows.
    Dead(fn(&Analysis, &DeadDescriptors) -> Option<Finding>),
}
