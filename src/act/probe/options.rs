//! What a probe is to do.

use std::time::Duration;

/// What a probe is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeOptions {
    /// How many connections to open, one after another.
    pub count: u32,
    /// How long to wait for the handshake and for `accept`, for each of them.
    pub timeout: Duration,
    /// What each of them sends.
    pub send: Option<Vec<u8>>,
    /// How long to wait for bytes from the server after it accepted; zero does not wait.
    pub wait: Duration,
}
