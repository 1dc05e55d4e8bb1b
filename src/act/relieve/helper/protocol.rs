//! What the helper process is asked, and what it answers.

use serde::{Deserialize, Serialize};

use crate::act::relieve::fault::Fault;
use crate::act::relieve::registration::{EpollRegistration, ListenerReference};

/// What a helper process is for; it gets this on its command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::act::relieve) enum HelperTask {
    /// To change a registration.
    Registration(EpollRegistration),
    /// To accept from a listener.
    Listener(ListenerReference),
}

/// A request, one a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::act::relieve) enum HelperRequest {
    /// Give the registration this mask, if it has the one that the helper knows. The same mask again
    /// re-arms its edge.
    Set {
        /// The mask.
        events: u32,
        /// Restore the registration when the input ends.
        guard: bool,
    },
    /// Give the registration the mask that it had at first, and remove the temporary one. Nothing is
    /// done where its mask is neither that one nor this one.
    Restore {
        /// The mask that was put in force.
        in_force: u32,
    },
    /// Accept one connection and close it.
    Accept,
    /// Restore nothing when the input ends.
    Release,
}

/// A response, one a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::act::relieve) enum HelperResponse {
    /// It is done; this is the mask now.
    Done(u32),
    /// A connection was accepted and closed.
    Accepted {
        /// Its client.
        client: Option<String>,
        /// Whether the client had gone before.
        gone: bool,
    },
    /// No connection waited.
    Empty,
    /// It is not done.
    Fault(Fault),
}
