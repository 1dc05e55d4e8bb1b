//! The helper process that reaches into a server's epoll set, and how `relieve` talks to it.

mod accept;
mod change;
mod client;
mod descriptor_at;
mod guarded;
mod inherited;
mod process;
mod protocol;

pub use client::HELPER_COMMAND;
pub(super) use client::HelperClient;
pub(super) use guarded::GuardedHelper;
pub use process::run_helper;
pub(super) use protocol::{HelperRequest, HelperResponse};
