//! What `check` measures, and how certain it is.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::correlate::Place;
use crate::correlate::age::{self, Age, Maturity};
use crate::model::Coverage;
use crate::report::{ConnectionRow, ListenerRow, Report};

/// What a threshold can be set on. The higher, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Connections in `CLOSE_WAIT`, wherever they are and however young.
    CloseWait,
    /// The fullest accept queue, as a share of its limit.
    QueueFill,
    /// The longest accept queue.
    QueueLength,
    /// How long the oldest connection is in `CLOSE_WAIT`, or has waited to be accepted.
    Age,
    /// Accepted connections in `CLOSE_WAIT` at the listener that has the most of them.
    AcceptedCloseWait,
}

/// What a metric is counted in. Amounts are whole numbers of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Connections.
    Connections,
    /// Percent, rounded up: an amount above a whole threshold stays above it.
    Percent,
    /// Milliseconds.
    Milliseconds,
}

impl Metric {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 5] = [
        Self::CloseWait,
        Self::QueueFill,
        Self::QueueLength,
        Self::Age,
        Self::AcceptedCloseWait,
    ];

    /// Its name as thresholds have it. The two of accept queues are told apart by their unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::CloseWait => "close-wait",
            Self::QueueFill | Self::QueueLength => "queue",
            Self::Age => "age",
            Self::AcceptedCloseWait => "accepted-close-wait",
        }
    }

    /// What it is counted in.
    pub fn unit(self) -> Unit {
        match self {
            Self::CloseWait | Self::QueueLength | Self::AcceptedCloseWait => Unit::Connections,
            Self::QueueFill => Unit::Percent,
            Self::Age => Unit::Milliseconds,
        }
    }

    /// An amount with its unit, for people.
    pub fn amount(self, amount: u64) -> AmountText {
        AmountText(self.unit(), amount)
    }

    pub(super) fn measure(self, report: &Report) -> Measurement {
        let measured = match self {
            Self::CloseWait => Measurement::exactly(report.close_wait.total() as u64),
            Self::QueueFill => queue_fill(&report.listeners),
            Self::QueueLength => queue_length(&report.listeners),
            Self::Age => oldest_age(report),
            Self::AcceptedCloseWait => accepted_close_wait(&report.listeners),
        };
        if self.is_covered(report.coverage) {
            return measured;
        }
        measured.or_more("the text does not show every socket")
    }

    /// Returns whether everything that it counts is shown.
    fn is_covered(self, coverage: Coverage) -> bool {
        match self {
            Self::CloseWait => coverage.close_wait.is_whole(),
            Self::QueueFill | Self::QueueLength => coverage.listeners.is_whole(),
            Self::Age | Self::AcceptedCloseWait => {
                coverage.close_wait.is_whole() && coverage.listeners.is_whole()
            }
        }
    }
}

/// An amount that prints itself with its unit; seconds and percent as monitoring systems read them.
#[derive(Debug, Clone, Copy)]
pub struct AmountText(Unit, u64);

impl fmt::Display for AmountText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(unit, amount) = *self;
        match unit {
            Unit::Connections => write!(f, "{amount}"),
            Unit::Percent => write!(f, "{amount}%"),
            Unit::Milliseconds if amount.is_multiple_of(1000) => write!(f, "{}s", amount / 1000),
            Unit::Milliseconds => write!(f, "{}.{:03}s", amount / 1000, amount % 1000),
        }
    }
}

/// What a metric is, as far as it can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measurement {
    /// It is at least this.
    pub at_least: u64,
    /// It is at most this; none where nothing that was seen bounds it.
    pub at_most: Option<u64>,
    /// Why it is not known exactly.
    pub doubt: Option<String>,
    /// The listener or the local end where `at_least` was found.
    pub place: Option<SocketAddr>,
}

impl Measurement {
    fn exactly(amount: u64) -> Self {
        Self {
            at_least: amount,
            at_most: Some(amount),
            ..Self::default()
        }
    }

    /// There may be more that is not shown.
    fn or_more(self, doubt: &str) -> Self {
        Self {
            at_most: None,
            doubt: self.doubt.or_else(|| Some(doubt.to_owned())),
            ..self
        }
    }
}

fn queue_length(listeners: &[ListenerRow]) -> Measurement {
    let listeners = listeners.iter().filter(|row| row.listener.queue_is_shown);
    let longest = listeners.max_by_key(|row| row.queue.length);
    Measurement {
        place: longest.map(|row| row.listener.local),
        ..Measurement::exactly(longest.map_or(0, |row| row.queue.length.into()))
    }
}

fn queue_fill(listeners: &[ListenerRow]) -> Measurement {
    let mut unlimited = 0;
    let mut fullest = (0, None);
    // An empty queue is at 0 %, whatever its limit.
    for row in listeners.iter().filter(|row| row.queue.length > 0) {
        match row.listener.accept_queue_limit.copied() {
            Some(limit) => {
                let fill = percent(row.queue.length, limit);
                fullest = fullest.max((fill, Some(row.listener.local)));
            }
            None => unlimited += 1,
        }
    }
    Measurement {
        at_least: fullest.0,
        at_most: (unlimited == 0).then_some(fullest.0),
        doubt: (unlimited > 0)
            .then(|| format!("accept queues in use whose limit is not known: {unlimited}")),
        place: fullest.1,
    }
}

/// `listen(fd, 0)` admits one connection; its limit counts as 1.
fn percent(length: u32, limit: u32) -> u64 {
    (u64::from(length) * 100).div_ceil(u64::from(limit.max(1)))
}

/// A listener whose connections cannot be told from another's may have any number.
fn accepted_close_wait(listeners: &[ListenerRow]) -> Measurement {
    let counted = |row: &ListenerRow| Some((row.accepted?.close_wait, row.listener.local));
    let most = listeners.iter().filter_map(counted).max();
    let uncounted = listeners
        .iter()
        .filter(|row| row.accepted.is_none())
        .count();
    let at_least = most.map_or(0, |(number, _)| number as u64);
    Measurement {
        at_least,
        at_most: (uncounted == 0).then_some(at_least),
        doubt: (uncounted > 0)
            .then(|| format!("listeners whose accepted connections are not known: {uncounted}")),
        place: most.map(|(_, local)| local),
    }
}

/// Ages are intervals (see [`age::since_fin`]), and so is the greatest of them.
fn oldest_age(report: &Report) -> Measurement {
    let mut oldest = Oldest::default();
    for row in report.connections() {
        oldest.add(&row, report.grace);
    }
    for row in &report.listeners {
        oldest.unseen += unseen_members(row);
        if let Some(time) = row.queue.seen_waiting {
            oldest.at_least = oldest.at_least.max((time, Some(row.listener.local)));
        }
    }
    let Oldest {
        at_least: (at_least, place),
        at_most,
        ..
    } = oldest;
    let bounded = oldest.ageless == 0 && oldest.unseen == 0;
    Measurement {
        at_least: millis(at_least),
        at_most: bounded.then(|| millis(at_most.max(at_least))),
        doubt: oldest.doubt(),
        place,
    }
}

#[derive(Default)]
struct Oldest {
    at_least: (Duration, Option<SocketAddr>),
    at_most: Duration,
    /// Connections of unknown age.
    ageless: usize,
    /// Connections that no socket list shows.
    unseen: u32,
}

impl Oldest {
    fn add(&mut self, row: &ConnectionRow, grace: Duration) {
        let age = match row.place {
            Place::AcceptQueue(_) => {
                let waited = age::waiting(row.connection);
                Age {
                    at_least: waited,
                    at_most: waited,
                }
            }
            Place::Accepted(_) | Place::Undecided | Place::Orphan => row.age,
        };
        if let Some(at_least) = age.at_least {
            self.at_least = self.at_least.max((at_least, Some(row.connection.local)));
        }
        // Below the grace period connections come and go on every healthy server, and so has one
        // that a second look did not see any more.
        if age.judge(grace) == Maturity::Young || row.ended {
            return;
        }
        match age.at_most {
            Some(at_most) => self.at_most = self.at_most.max(at_most),
            None => self.ageless += 1,
        }
    }

    fn doubt(&self) -> Option<String> {
        if self.ageless > 0 {
            return Some(format!("connections of unknown age: {}", self.ageless));
        }
        if self.unseen > 0 {
            return Some(format!(
                "connections that wait in accept queues and are in no socket list: {}",
                self.unseen
            ));
        }
        (self.at_most > self.at_least.0).then(|| {
            format!(
                "up to {}, as keep-alive or data since hide when the peer closed",
                Metric::Age.amount(millis(self.at_most))
            )
        })
    }
}

/// Connections that certainly wait in a queue and that no socket list shows, so without an age.
/// Where the queue was seen empty or moved during the look, it is rather the lists that differ.
fn unseen_members(row: &ListenerRow) -> u32 {
    let queue = &row.queue;
    let members_are_certain = queue.close_wait.is_some();
    if !members_are_certain || queue.trend.shortest == 0 || !queue.trend.steady {
        return 0;
    }
    let visible = u32::try_from(queue.members.len()).unwrap_or(u32::MAX);
    queue.length.saturating_sub(visible)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{look, with_report};
    use super::*;
    use crate::correlate::fixtures::waiting_connection;
    use crate::model::{Connection, Gap, Inode, Reading, TcpAges, Timer};

    /// A connection that was accepted, quiet since its client closed that long ago.
    fn accepted(closed_ms: u32) -> Connection {
        Connection {
            inode: Inode::new(77),
            ..waiting_connection(closed_ms)
        }
    }

    #[test]
    fn nobody_there_is_zero_of_everything() {
        with_report(&look(0, 128, Vec::new()), |report| {
            for metric in Metric::ALL {
                let measured = metric.measure(report);
                assert_eq!((measured.at_least, measured.at_most), (0, Some(0)));
                assert_eq!(measured.doubt, None);
            }
        });
    }

    #[test]
    fn a_queue_is_measured_against_its_limit_and_rounded_up() {
        for (length, limit, expected) in [(22, 511, 5), (80, 100, 80), (129, 128, 101), (1, 0, 100)]
        {
            assert_eq!(percent(length, limit), expected, "{length} of {limit}");
        }
    }

    #[test]
    fn the_fill_of_a_queue_without_a_known_limit_is_not_bounded() {
        let mut snapshot = look(1, 128, vec![waiting_connection(10)]);
        snapshot.sockets.listeners[0].accept_queue_limit = Reading::Unknown(Gap::NotSupported);
        with_report(&snapshot, |report| {
            let fill = Metric::QueueFill.measure(report);
            assert_eq!((fill.at_least, fill.at_most), (0, None));
            assert!(fill.doubt.is_some());
            let length = Metric::QueueLength.measure(report);
            assert_eq!((length.at_least, length.at_most), (1, Some(1)));
        });
    }

    #[test]
    fn an_empty_queue_without_a_known_limit_is_empty() {
        let mut snapshot = look(0, 128, Vec::new());
        snapshot.sockets.listeners[0].accept_queue_limit = Reading::Unknown(Gap::NotSupported);
        with_report(&snapshot, |report| {
            assert_eq!(Metric::QueueFill.measure(report).at_most, Some(0));
        });
    }

    #[test]
    fn the_oldest_counts_from_the_handshake_where_it_waits_and_from_the_fin_where_it_was_accepted()
    {
        let mut waits = waiting_connection(9000);
        waits.ages = Some(TcpAges::from_millis(9000, 9000, 20));
        for (connection, length) in [(waits, 1), (accepted(9000), 0)] {
            with_report(&look(length, 128, vec![connection]), |report| {
                let age = Metric::Age.measure(report);
                assert_eq!((age.at_least, age.at_most), (9000, Some(9000)));
            });
        }
    }

    #[test]
    fn an_age_without_clocks_is_not_bounded() {
        let mut connection = accepted(0);
        connection.ages = None;
        with_report(&look(0, 128, vec![connection, accepted(4000)]), |report| {
            let age = Metric::Age.measure(report);
            assert_eq!((age.at_least, age.at_most), (4000, None));
            assert!(age.doubt.unwrap().contains("unknown age: 1"));
        });
    }

    #[test]
    fn keep_alive_hides_the_age_however_young_its_last_answer_is() {
        let probed = |acked_ms| {
            let mut connection = accepted(90_000);
            connection.timer = Reading::Known(Timer::KeepAlive(Duration::from_secs(1)));
            connection.ages = Some(TcpAges::from_millis(90_000, 90_000, acked_ms));
            connection
        };
        for (acked_ms, at_most) in [(400, 90_000), (3000, 90_000)] {
            with_report(&look(0, 128, vec![probed(acked_ms)]), |report| {
                let age = Metric::Age.measure(report);
                assert_eq!(
                    (age.at_least, age.at_most),
                    (acked_ms.into(), Some(at_most))
                );
            });
        }
    }

    #[test]
    fn a_member_that_no_list_shows_has_an_unknown_age() {
        with_report(&look(2, 128, vec![waiting_connection(5000)]), |report| {
            let age = Metric::Age.measure(report);
            assert_eq!((age.at_least, age.at_most), (5000, None));
        });
    }

    #[test]
    fn amounts_print_as_monitoring_systems_read_them() {
        let text = |metric: Metric, amount| metric.amount(amount).to_string();
        assert_eq!(text(Metric::CloseWait, 22), "22");
        assert_eq!(text(Metric::QueueFill, 5), "5%");
        assert_eq!(text(Metric::Age, 60_000), "60s");
        assert_eq!(text(Metric::Age, 9_042), "9.042s");
    }
}
