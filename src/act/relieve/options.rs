//! What the user asked of `relieve`.

use std::path::Path;
use std::time::Duration;

use super::journal::Journal;
use super::method::Method;

/// What the plan is to be like.
#[derive(Debug, Clone, Copy, Default)]
pub struct RelieveOptions {
    /// The method to use, instead of the gentlest that the finding allows.
    pub method: Option<Method>,
    /// Live clients may be closed as well.
    pub all: bool,
    /// Level-triggered even where the runtime depends on edges.
    pub force: bool,
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most wake-ups, or the most connections to accept.
    pub max: u32,
    /// The longest time for them.
    pub timeout: Duration,
    /// How long a level-triggered server is watched.
    pub watch: Duration,
}

/// The folders that acting needs.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Where procfs is mounted.
    pub procfs: &'a Path,
    /// Where changes are recorded.
    pub journal: &'a Journal,
}
