//! The chain of waits of a finding, in `closewait-doctor.report/v1`.

use schemars::JsonSchema;
use serde::Serialize;

use super::json_types::{ConfidenceV1, millis};
use crate::rules::{WaitChain, WaitLink};

/// A chain of waits.
#[derive(Serialize, JsonSchema)]
pub(super) struct WaitsV1 {
    /// The links, the accused first.
    chain: Vec<WaitLinkV1>,
    /// What the last link waits for, in words.
    root: String,
    /// Whether the chain leads back to where it began.
    deadlock: bool,
    members: MembersV1,
}

/// How many of the accused threads, or of their requests, wait for the first thing.
#[derive(Serialize, JsonSchema)]
struct MembersV1 {
    number: usize,
    of: usize,
}

/// A link of a chain, and how sure it is.
#[derive(Serialize, JsonSchema)]
struct WaitLinkV1 {
    node: WaitNodeV1,
    sure: ConfidenceV1,
}

/// What waits, and what for.
#[derive(Serialize, JsonSchema)]
struct WaitNodeV1 {
    /// What is waited for: `answer`, `news`, `connect`, `room`, `client`, `file_lock`, `lock`, `thread`, `child`,
    /// `pipe`, `unix_socket`, `nap`, `processor`, `kernel`, `stopped`, `events`, `accept`, `work_queue`, `signal`,
    /// `other`, `unseen`, or `nobody` where no process holds the other end.
    kind: &'static str,
    pid: Option<u32>,
    tid: Option<u32>,
    fd: Option<u32>,
    /// In words.
    what: String,
    since_ms: Option<u64>,
}

impl From<WaitChain> for WaitsV1 {
    fn from(chain: WaitChain) -> Self {
        Self {
            chain: chain.links.into_iter().map(convert_link).collect(),
            root: chain.root,
            deadlock: chain.deadlock,
            members: MembersV1 {
                number: chain.members,
                of: chain.of,
            },
        }
    }
}

fn convert_link(link: WaitLink) -> WaitLinkV1 {
    WaitLinkV1 {
        node: WaitNodeV1 {
            kind: link.kind,
            pid: link.pid,
            tid: link.tid,
            fd: link.fd,
            what: link.what,
            since_ms: link.since.map(millis),
        },
        sure: link.sure.into(),
    }
}
