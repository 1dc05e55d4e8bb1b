//! Every number that a rule compares with, its unit, and why it is what it is.

use std::time::Duration;

/// The age from which on a connection that no process serves is suspicious, unless the user sets another.
///
/// A busy server may take a second or two; three is more than a retransmitted handshake takes and
/// less than people wait.
pub const GRACE: Duration = Duration::from_secs(3);

/// How long suspicious listeners are watched, unless the user sets another time.
///
/// This is long enough for some fifteen samples, and short enough for the user not to notice.
pub const OBSERVE: Duration = Duration::from_millis(150);

/// A thread must be seen asleep this often before that is no coincidence.
pub const PROOF_LOOKS: usize = 3;

/// The samples must span at least this time: it is longer than a scheduler's time slice.
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

/// A forecast of when the descriptors are used up needs arrivals over at least this time: a shorter
/// history may be an accident.
pub const FORECAST_SPAN: Duration = Duration::from_secs(30);

/// After this many grace periods the program no longer works on a request whose end it has read:
/// 30 s by default. Few clients wait longer for an answer.
pub const NOT_AN_ANSWER_ANY_MORE: u32 = 10;

/// Up to this many descriptors of connections that no longer exist are no finding: a pool notices a reset
/// connection when it next uses it.
pub const DEAD_FEWEST: usize = 16;

/// From this many of them on one process has a leak whatever its limit: no usual pool has that many.
pub const DEAD_MANY: usize = 100;

/// Fewer are a leak as well where they take this share, in percent, of the descriptors that the
/// process may open: half the way to [`LEAK_CRITICAL_PERCENT`].
pub const DEAD_WARNING_PERCENT: u64 = 25;

/// `select` keeps descriptors in a set of this many bits (`FD_SETSIZE` of glibc and musl).
pub const FD_SETSIZE: u64 = 1024;

/// A program that cannot select the descriptor 1024 accepts only a few more: those of the same round.
pub const FD_SETSIZE_MARGIN: u64 = 64;

/// A look takes milliseconds. When it takes this long, something blocks it, and the user needs an answer.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
