//! Every number that a rule compares with, its unit, and why it is what it is.

use std::time::Duration;

/// From this age on a connection that nobody tends is a server, unless the user says otherwise.
///
/// A busy server may take a second or two; three is more than a retransmitted handshake takes and
/// less than people wait.
pub const GRACE: Duration = Duration::from_secs(3);

/// How long suspicious listeners are watched, unless the user says otherwise.
///
/// Long enough for some fifteen samples, and short enough not to be noticed by who asks.
pub const OBSERVE: Duration = Duration::from_millis(150);

/// A thread must be seen asleep this often before that is no coincidence.
pub const PROOF_LOOKS: usize = 3;

/// And the looks must span at least this time: longer than a scheduler's turn.
pub const PROOF_SPAN: Duration = Duration::from_millis(100);

/// A thread that serves other clients meanwhile is not asleep at every look. This share of looks,
/// in percent, is still proof; measured on the incident's server: 94.
pub const PROOF_SHARE_PERCENT: usize = 80;

/// A leak is critical when its connections take this share, in percent, of the descriptors that
/// the process may open: the other half will go the same way.
pub const LEAK_CRITICAL_PERCENT: u64 = 50;

/// A client's pool may hold connections that the server has closed until it next uses them; more
/// than this many to one service is no usual pool.
pub const POOL_CONNECTIONS: usize = 100;

/// A program that may open no more descriptors than this, and may not raise that, was limited on
/// purpose: service managers and logins give 1024 and more.
pub const DELIBERATE_DESCRIPTORS: u64 = 64;

/// When the descriptors will be used up is told where the connections that were kept came in over
/// this time and longer: a shorter history is an accident.
pub const FORECAST_SPAN: Duration = Duration::from_secs(30);

/// After so many grace periods an end of stream that was read is no request that is still worked
/// on: 30 s by default, and few clients wait longer for an answer.
pub const NOT_AN_ANSWER_ANY_MORE: u32 = 10;

/// So few descriptors of connections that no longer exist are no finding: a pool notices a reset
/// connection when it next uses it.
pub const DEAD_FEWEST: usize = 16;

/// So many of them in one process are a leak whatever its limit: no usual pool has that many.
pub const DEAD_MANY: usize = 100;

/// Fewer are one as well where they take this share, in percent, of the descriptors that the
/// process may open: half the way to [`LEAK_CRITICAL_PERCENT`].
pub const DEAD_WARNING_PERCENT: u64 = 25;

/// `select` keeps descriptors in a set of this many bits (`FD_SETSIZE` of glibc and musl).
pub const FD_SETSIZE: u64 = 1024;

/// Whoever cannot select the descriptor 1024 accepts few more: what was accepted in the same round.
pub const FD_SETSIZE_MARGIN: u64 = 64;
