//! What many looks have seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::event::{Event, EventKind};
use super::key::FindingKey;
use super::trend::{Samples, Trend};
use crate::report::Report;
use crate::rules::Severity;

/// A finding that is gone is remembered for this long.
const REMEMBER: Duration = Duration::from_secs(60);

/// So many looks are remembered in numbers: five minutes at one look a second.
const REMEMBERED_LOOKS: usize = 300;

/// So many findings are followed; a host that has more is described well enough by the worst.
const MOST_FINDINGS: usize = 1000;

/// What is remembered of the looks before.
#[derive(Debug, Default)]
pub struct History {
    findings: BTreeMap<FindingKey, Tracked>,
    looks: VecDeque<(Duration, Numbers)>,
}

/// One finding over many looks. Times are since the following began.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// Its severity when it was last seen.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub headline: String,
    /// When it was first seen.
    pub first_seen: Duration,
    /// When it was last seen.
    pub last_seen: Duration,
    /// When a look that could have seen it did not.
    pub gone_at: Option<Duration>,
    samples: Samples,
    /// What could not be seen when it was last seen.
    blind: BTreeSet<String>,
}

impl Tracked {
    /// Returns how many connections it covered when it was last seen.
    pub fn connections(&self) -> usize {
        self.samples.last()
    }

    /// Returns how it goes.
    pub fn trend(&self) -> Trend {
        self.samples.trend()
    }
}

/// What is remembered of one look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Connections in `CLOSE_WAIT`.
    pub close_wait: usize,
    /// Connections that wait to be accepted.
    pub queued: u64,
    /// Connections that were refused because an accept queue was full, in all namespaces that told
    /// (`ListenOverflows`).
    pub overflows: Option<u64>,
}

impl Numbers {
    fn of(report: &Report) -> Self {
        let lengths = report
            .listeners
            .iter()
            .map(|row| u64::from(row.queue.length));
        let mut counters = report.dropped_counters().peekable();
        Self {
            close_wait: report.close_wait.total(),
            queued: lengths.sum(),
            overflows: counters
                .peek()
                .is_some()
                .then(|| counters.map(|(_, counters)| counters.overflows).sum()),
        }
    }
}

impl History {
    /// Takes one more look into account, and returns what changed since the last one. `at` is the time since the
    /// following began, of a clock that does not jump.
    pub fn take(&mut self, report: &Report, at: Duration) -> Vec<Event> {
        self.looks.push_back((at, Numbers::of(report)));
        if self.looks.len() > REMEMBERED_LOOKS {
            self.looks.pop_front();
        }
        let blind = blind(report);
        let mut events = Vec::new();
        for (key, seen) in seen(report) {
            events.extend(self.note(key, seen, at, &blind));
        }
        for (key, tracked) in &mut self.findings {
            events.extend(note_missing(key, tracked, at, &blind));
        }
        self.findings.retain(|_, tracked| {
            tracked
                .gone_at
                .is_none_or(|gone| at.saturating_sub(gone) < REMEMBER)
        });
        events
    }

    /// Returns the findings, those that are gone for less than a minute among them.
    pub fn findings(&self) -> impl Iterator<Item = (&FindingKey, &Tracked)> {
        self.findings.iter()
    }

    /// Returns a finding.
    pub fn finding(&self, key: &FindingKey) -> Option<&Tracked> {
        self.findings.get(key)
    }

    /// Returns the numbers of the last looks, the oldest first.
    pub fn looks(&self) -> impl DoubleEndedIterator<Item = (Duration, Numbers)> {
        self.looks.iter().copied()
    }

    /// Returns how many connections a second were refused between the last two looks because an accept queue was
    /// full; none without two looks that read the counters, or where a namespace has come or gone.
    #[expect(clippy::cast_precision_loss, reason = "a rate is for people")]
    pub fn overflows_per_sec(&self) -> Option<f64> {
        let mut latest = self.looks.iter().rev();
        let ((now, last), (then, before)) = (latest.next()?, latest.next()?);
        let more = last.overflows?.checked_sub(before.overflows?)?;
        let time = now.saturating_sub(*then).as_secs_f64();
        (time > 0.0).then(|| more as f64 / time)
    }

    fn note(
        &mut self,
        key: FindingKey,
        seen: Seen,
        at: Duration,
        blind: &BTreeSet<String>,
    ) -> Option<Event> {
        let known = self.findings.get(&key);
        if known.is_none() && self.findings.len() >= MOST_FINDINGS {
            return None;
        }
        let mut tracked = match known {
            Some(known) if known.gone_at.is_none() => known.clone(),
            Some(_) | None => Tracked {
                severity: seen.severity,
                headline: String::new(),
                first_seen: at,
                last_seen: at,
                gone_at: None,
                samples: Samples::default(),
                blind: BTreeSet::new(),
            },
        };
        let is_new = tracked.headline.is_empty();
        let before = tracked.connections();
        let changed = before != seen.connections || tracked.severity != seen.severity;
        tracked.severity = seen.severity;
        tracked.last_seen = at;
        tracked.samples.add(at, seen.connections);
        tracked.headline.clone_from(&seen.headline);
        tracked.blind.clone_from(blind);
        let event = (is_new || changed).then(|| Event {
            kind: if is_new {
                EventKind::Appeared
            } else {
                EventKind::Changed
            },
            key: key.clone(),
            severity: seen.severity,
            connections: seen.connections,
            before,
            headline: seen.headline,
            age: at.saturating_sub(tracked.first_seen),
        });
        self.findings.insert(key, tracked);
        event
    }
}

/// What one look says of a finding.
struct Seen {
    severity: Severity,
    connections: usize,
    headline: String,
}

/// The findings of a look. Two with the same identity are one, as bad as the worse of them.
fn seen(report: &Report) -> BTreeMap<FindingKey, Seen> {
    let mut all: BTreeMap<FindingKey, Seen> = BTreeMap::new();
    for finding in &report.findings {
        let key = FindingKey::new(report, finding);
        let this = Seen {
            severity: finding.severity,
            connections: finding.connections,
            headline: finding.headline.clone(),
        };
        match all.get_mut(&key) {
            // The worst comes first.
            Some(known) => known.connections += this.connections,
            None => {
                all.insert(key, this);
            }
        }
    }
    all
}

/// What could not be seen and may hide a finding.
fn blind(report: &Report) -> BTreeSet<String> {
    let hiding = report.blind_spots.iter().filter(|spot| spot.hides_findings);
    hiding.map(|spot| spot.what.clone()).collect()
}

/// A finding that a look does not have is gone only if the look saw all that the one saw that had it.
fn note_missing(
    key: &FindingKey,
    tracked: &mut Tracked,
    at: Duration,
    blind: &BTreeSet<String>,
) -> Option<Event> {
    let was_seen = tracked.last_seen == at || tracked.gone_at.is_some();
    if was_seen || !blind.is_subset(&tracked.blind) {
        return None;
    }
    tracked.gone_at = Some(at);
    Some(Event {
        kind: EventKind::Gone,
        key: key.clone(),
        severity: tracked.severity,
        connections: 0,
        before: tracked.connections(),
        headline: tracked.headline.clone(),
        age: at.saturating_sub(tracked.first_seen),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::correlate::Analysis;
    use crate::correlate::fixtures::{listener, snapshot};
    use crate::model::{BlindSpot, Scope, SocketTable};
    use crate::report::Circumstances;
    use crate::rules::{Confidence, Finding, Subject, SubjectKind};

    fn finding(connections: usize) -> Finding {
        Finding {
            id: "edge-triggered-stall",
            severity: Severity::Critical,
            confidence: Confidence::Certain,
            subject: Subject {
                netns: "current".to_owned(),
                kind: SubjectKind::Listener,
                local: Some("0.0.0.0:80".parse().unwrap()),
                remote: None,
                pids: vec![1],
            },
            headline: "connections wait".to_owned(),
            evidence: Vec::new(),
            conclusion: None,
            remedies: Vec::new(),
            connections,
        }
    }

    fn report(findings: Vec<Finding>, blind: &[&str]) -> Report {
        let mut look = snapshot(SocketTable {
            listeners: vec![listener("0.0.0.0:80", 1)],
            ..SocketTable::default()
        });
        look.blind_spots = blind
            .iter()
            .map(|what| BlindSpot {
                what: (*what).to_owned(),
                why: String::new(),
                remedy: String::new(),
                hides_findings: true,
            })
            .collect();
        let analysis = Arc::new(Analysis::new(look, Duration::from_secs(3)));
        let circumstances = Circumstances {
            taken_at: String::new(),
            scope: Scope::default(),
            replayed: false,
        };
        Report::new(analysis, findings, circumstances)
    }

    fn kinds(events: &[Event]) -> Vec<EventKind> {
        events.iter().map(|event| event.kind).collect()
    }

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn a_finding_appears_changes_and_goes() {
        let mut history = History::default();
        let appeared = history.take(&report(vec![finding(3)], &[]), second(0));
        assert_eq!(kinds(&appeared), [EventKind::Appeared]);
        assert_eq!(history.take(&report(vec![finding(3)], &[]), second(1)), []);
        let changed = history.take(&report(vec![finding(5)], &[]), second(2));
        assert_eq!(kinds(&changed), [EventKind::Changed]);
        assert_eq!((changed[0].before, changed[0].connections), (3, 5));
        let gone = history.take(&report(Vec::new(), &[]), second(3));
        assert_eq!(kinds(&gone), [EventKind::Gone]);
        assert_eq!(gone[0].age, second(3));
        assert_eq!(history.take(&report(Vec::new(), &[]), second(4)), []);
    }

    #[test]
    fn another_worker_does_not_make_another_finding_of_a_listener() {
        let mut history = History::default();
        history.take(&report(vec![finding(3)], &[]), second(0));
        let mut other = finding(3);
        other.subject.pids = vec![2];
        assert_eq!(history.take(&report(vec![other], &[]), second(1)), []);
    }

    #[test]
    fn what_may_hide_in_a_new_blind_spot_is_not_gone() {
        let mut history = History::default();
        history.take(&report(vec![finding(3)], &["one"]), second(0));
        let hidden = report(Vec::new(), &["one", "another"]);
        assert_eq!(history.take(&hidden, second(1)), []);
        let as_before = report(Vec::new(), &["one"]);
        let events = history.take(&as_before, second(2));
        assert_eq!(kinds(&events), [EventKind::Gone]);
    }

    #[test]
    fn what_comes_back_is_new_and_what_is_gone_is_forgotten() {
        let mut history = History::default();
        history.take(&report(vec![finding(3)], &[]), second(0));
        history.take(&report(Vec::new(), &[]), second(1));
        let back = history.take(&report(vec![finding(3)], &[]), second(2));
        assert_eq!(kinds(&back), [EventKind::Appeared]);
        assert_eq!(back[0].age, Duration::ZERO);
        history.take(&report(Vec::new(), &[]), second(3));
        assert_eq!(history.findings().count(), 1);
        history.take(&report(Vec::new(), &[]), second(64));
        assert_eq!(history.findings().count(), 0);
    }

    #[test]
    fn ten_thousand_looks_are_remembered_in_bounded_memory() {
        let mut history = History::default();
        for number in 0..10_000 {
            history.take(&report(vec![finding(1)], &[]), second(number));
        }
        assert_eq!(history.looks().count(), REMEMBERED_LOOKS);
        assert_eq!(history.findings().count(), 1);
    }
}
