//! Connections that only one end has closed, by holder and by what is wrong with them.

use std::net::SocketAddr;
use std::rc::Rc;

use super::age::Age;
use super::reader::Reader;
use crate::model::{Connection, Pid};

/// Connections of one kind with the same holders.
#[derive(Debug)]
pub struct Leak<'a> {
    /// The processes that hold them; empty where that could not be seen.
    pub pids: Vec<Pid>,
    /// Which end of the service they are.
    pub endpoint: Endpoint,
    /// What is wrong with them.
    pub kind: LeakKind,
    /// The connections.
    pub connections: Vec<&'a Connection>,
    /// Since when the peer has closed each of them, in the same order.
    pub ages: Vec<Age>,
    /// How many of them are certainly older than the grace period, or have been unread for longer.
    pub overdue: usize,
    /// How many of them the process with the most has.
    pub most_in_one: usize,
    /// Connections with the same holders at the same end that are certainly younger.
    pub young: Vec<&'a Connection>,
}

/// What a group of connections has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// They came in at this local address.
    Server(SocketAddr),
    /// We opened them to this remote service.
    Client(SocketAddr),
}

/// What is wrong with a connection that only one end has closed; the first that fits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeakKind {
    /// No process is seen to hold it.
    Unattributed,
    /// The peer has closed, and several processes hold our end.
    Inherited,
    /// The peer has closed, and what we still have to send does not go out.
    StuckWriter,
    /// The peer has closed a connection that we opened.
    IdlePool,
    /// The peer has closed, and our end is not closed, read or not.
    NotClosed(Rc<Reader>),
    /// The peer has closed one side of a relay, which waits for the other side to close, too.
    Relay(OtherSide),
    /// The peer has closed its direction only, and what we send still flows.
    HalfClosed,
    /// The peer has closed its direction only, and waits for an answer that is being worked on.
    AnswerDue,
    /// We have closed our direction, and the peer does not close.
    PeerNotClosing,
}

/// The other side of connections that a relay keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OtherSide {
    /// How many connections it has.
    pub connections: usize,
    /// Which end of which service most of them are.
    pub end: Endpoint,
    /// What tells that it is the other side.
    pub told_by: Pairing,
}

/// What tells that two connections are the sides of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pairing {
    /// The relay has passed the end on, and that peer does not close: about as many connections are in
    /// `FIN_WAIT2` as in `CLOSE_WAIT`.
    PassedOn,
    /// What one received the other sent, to the byte, and it is still open in both directions.
    SameBytes,
    /// Whenever one received something the other sent something, and it is still open in both directions.
    SameTimes,
}
