//! What was asked for and does not exist.

use std::net::SocketAddr;

use super::{Pid, PortRange};

/// What a look was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A port, or a range of ports, on either end.
    Port(PortRange),
    /// A listener that a connection to this address reaches, or a connection with it on either end.
    Address(SocketAddr),
    /// The sockets of a process.
    Process(Pid),
    /// The sockets of processes or units of this name, and the most similar names of others.
    Name(String, Vec<String>),
    /// The network namespace of this name.
    Namespace(String),
}

/// A target that was asked for and has neither a listener nor a connection. This is neither healthy nor a
/// gap, but a result of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// What was asked for.
    pub asked: Asked,
    /// Listeners that are there, those on the nearest ports first.
    pub nearby: Vec<SocketAddr>,
}
