//! What the rules about connections of a process have in common.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::evidence::{count, process_name, process_names, seconds};
use super::thresholds::{
    DELIBERATE_DESCRIPTORS, FORECAST_SPAN, LEAK_CRITICAL_PERCENT, POOL_CONNECTIONS,
};
use super::{Evidence, Severity, Subject, SubjectKind};
use crate::correlate::age::{self, Age};
use crate::correlate::{Analysis, Endpoint, Growth, Leak};
use crate::model::{Process, Reading, Timer};

/// The process, or the connections if no holder is known.
pub(super) fn subject(analysis: &Analysis, leak: &Leak) -> Subject {
    Subject {
        netns: analysis.snapshot.namespace.name.clone(),
        kind: if leak.pids.is_empty() {
            SubjectKind::Connection
        } else {
            SubjectKind::Process
        },
        local: match leak.endpoint {
            Endpoint::Server(local) => Some(local),
            Endpoint::Client(_) => None,
        },
        remote: match leak.endpoint {
            Endpoint::Server(_) => None,
            Endpoint::Client(remote) => Some(remote),
        },
        pids: leak.pids.clone(),
    }
}

/// The processes that hold the connections, by name.
pub(super) fn holder(analysis: &Analysis, leak: &Leak) -> String {
    let processes: Vec<_> = leak
        .pids
        .iter()
        .filter_map(|pid| analysis.process(*pid))
        .collect();
    if processes.is_empty() {
        "a process that is not visible".to_owned()
    } else {
        process_names(processes.into_iter())
    }
}

/// `12 connections on 127.0.0.1:8080`.
pub(super) fn connections(leak: &Leak) -> String {
    let number = count(leak.connections.len(), "connection");
    match leak.endpoint {
        Endpoint::Server(local) => format!("{number} on {local}"),
        Endpoint::Client(remote) => format!("{number} to {remote}"),
    }
}

/// The word that stands for the connections.
pub(super) fn them(leak: &Leak) -> &'static str {
    if leak.connections.len() == 1 {
        "it"
    } else {
        "them"
    }
}

/// How many of them have something left to read, if only the end.
pub(super) fn unread(leak: &Leak) -> usize {
    let connections = leak.connections.iter();
    connections
        .filter(|connection| connection.recv_q > 0)
        .count()
}

/// Ages, peers and descriptors.
pub(super) fn evidence(analysis: &Analysis, leak: &Leak) -> Vec<Evidence> {
    let mut evidence: Vec<Evidence> = [age_evidence(leak), peer_evidence(leak, "closed by")]
        .map(Evidence::background)
        .into();
    let key = |sentence: Option<String>| sentence.map(Evidence::from);
    let background = |sentence: Option<String>| sentence.map(Evidence::background);
    evidence.extend(key(mptcp_evidence(leak)));
    evidence.extend(background(renewed_evidence(leak)));
    evidence.extend(key(come_and_go_evidence(analysis, leak)));
    evidence.extend(key(growth_evidence(analysis, leak)));
    evidence.extend(background(reaped(leak)));
    evidence.extend(descriptor_evidence(analysis, leak));
    evidence
}

/// The open descriptors of the process that is nearest to its limit.
fn descriptor_evidence(analysis: &Analysis, leak: &Leak) -> Option<Evidence> {
    let processes = leak.pids.iter().filter_map(|pid| analysis.process(*pid));
    let limited = processes.filter_map(|process| {
        let open = process.open_fds.copied()?;
        Some((process, open, usual_limit(process)?))
    });
    let (process, open, limit) = limited.max_by_key(|(_, open, limit)| {
        (
            u128::from(*open) * 1_000_000 / u128::from((*limit).max(1)),
            *open,
        )
    })?;
    let others = if leak.pids.len() > 1 {
        ", and the others less of theirs"
    } else {
        ""
    };
    let sentence = format!(
        "{} has {open} of {limit} descriptors open{others}",
        process_name(process)
    );
    Some(if is_near(open, limit) {
        sentence.into()
    } else {
        Evidence::background(sentence)
    })
}

/// Returns whether so many descriptors endanger the process.
fn is_near(open: u64, limit: u64) -> bool {
    open.saturating_mul(100) >= limit.saturating_mul(LEAK_CRITICAL_PERCENT)
}

/// How many descriptors a process may open, unless that was limited on purpose: a sandbox may open
/// none, and what it has open says nothing against the limit then.
fn usual_limit(process: &Process) -> Option<u64> {
    let limit = process.fd_limit.copied()?;
    let final_and_tiny = limit.soft == limit.hard && limit.soft < DELIBERATE_DESCRIPTORS;
    let lowered_below = process
        .open_fds
        .copied()
        .is_some_and(|open| open > limit.soft);
    (!final_and_tiny && !lowered_below).then_some(limit.soft)
}

/// Whose upper end is not known, or differs in print, has "or more".
fn age_evidence(leak: &Leak) -> String {
    let number = count(leak.connections.len(), "connection");
    let least = leak.ages.iter().filter_map(|age| age.at_least);
    let (Some(youngest), Some(oldest)) = (least.clone().min(), least.max()) else {
        return format!("{number} in CLOSE_WAIT, for how long is not known");
    };
    let exact = leak.ages.iter().all(is_exact_in_print);
    let or_more = if exact { "" } else { " or more" };
    let (youngest, oldest) = (seconds(youngest), seconds(oldest));
    if youngest == oldest {
        return format!("{number} in CLOSE_WAIT for {oldest}{or_more}");
    }
    format!("{number} in CLOSE_WAIT for {youngest} to {oldest}{or_more}")
}

/// Returns whether both ends of an age are known and are written alike.
fn is_exact_in_print(age: &Age) -> bool {
    let (least, most) = (age.at_least.map(seconds), age.at_most.map(seconds));
    least.is_some() && least == most
}

/// Says that answers to keep-alive probes hide the ages, if they do.
fn renewed_evidence(leak: &Leak) -> Option<String> {
    let members = leak.connections.iter().zip(&leak.ages);
    let renewed = members.filter(|(_, age)| !is_exact_in_print(age));
    let intervals: Vec<Duration> = renewed
        .clone()
        .filter_map(|(connection, _)| age::keep_alive_interval(connection))
        .collect();
    let interval = intervals.iter().max()?;
    let at_most = renewed.filter_map(|(_, age)| age.at_most).max();
    Some(format!(
        "of {} the age is not known: keep-alive renews the clock about every {}{}",
        count(intervals.len(), "connection"),
        seconds(*interval),
        at_most.map_or(String::new(), |most| format!(
            "; their last data came {} ago",
            seconds(most)
        ))
    ))
}

/// Says that the program closes them after a while, if it does.
fn come_and_go_evidence(analysis: &Analysis, leak: &Leak) -> Option<String> {
    analysis.comes_and_goes(leak).then(|| {
        format!(
            "they come and go: {} more came in the last {}, and none stays, though the program has \
             run for longer",
            leak.young.len(),
            seconds(analysis.grace)
        )
    })
}

fn mptcp_evidence(leak: &Leak) -> Option<String> {
    let connections = leak.connections.iter();
    let number = connections
        .filter(|connection| connection.layer.is_mptcp())
        .count();
    (number > 0).then(|| {
        format!(
            "{} of MPTCP: neither since when the peer is gone nor whether the end was read can be \
             told",
            count(number, "connection")
        )
    })
}

/// The remote hosts with the most of them; `what` says what they did.
pub(super) fn peer_evidence(leak: &Leak, what: &str) -> String {
    const SHOWN: usize = 3;
    let mut peers: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for connection in &leak.connections {
        *peers
            .entry(connection.remote.ip().to_canonical())
            .or_default() += 1;
    }
    let mut peers: Vec<(IpAddr, usize)> = peers.into_iter().collect();
    peers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named: Vec<String> = peers
        .iter()
        .take(SHOWN)
        .map(|(peer, count)| format!("{peer} ({count})"))
        .collect();
    let more = if peers.len() > SHOWN {
        format!(" and {} more", peers.len() - SHOWN)
    } else {
        String::new()
    };
    format!("{what} {}{more}", named.join(", "))
}

/// With keep-alive on, the kernel ends them when the peer's host answers a probe with a reset.
fn reaped(leak: &Leak) -> Option<String> {
    let probes: Vec<_> = leak
        .connections
        .iter()
        .filter_map(|connection| match connection.timer {
            Reading::Known(Timer::KeepAlive(left)) => Some(left),
            _ => None,
        })
        .collect();
    let next = probes.iter().min()?;
    Some(format!(
        "keep-alive is on for {}, the next probe is due in {}: they are reaped once the peer's \
         host answers one with a reset",
        count(probes.len(), "connection"),
        seconds(*next)
    ))
}

/// Whether their number grows, and when the descriptors will be used up.
fn growth_evidence(analysis: &Analysis, leak: &Leak) -> Option<String> {
    let growth = analysis.growth(leak.endpoint)?;
    let rate = growth.per_minute()?;
    let over = seconds(growth.over);
    if growth.change <= 0 {
        return Some(format!("their number did not grow in {over}"));
    }
    let gone = if growth.gone > 0 {
        format!(", while {} were closed", growth.gone)
    } else {
        String::new()
    };
    let when = forecast(analysis, leak, growth, rate).map_or(String::new(), |left| {
        format!(
            "; at that rate its descriptors are used up in {}",
            seconds(left)
        )
    });
    Some(format!(
        "{} more in {over}{gone}, {rate:.0} a minute{when}",
        growth.change
    ))
}

/// When the first process will have used up its descriptors.
///
/// The looks have to show that the number grows, and the ages that it has for longer: in each third of
/// a span that is not tiny. Otherwise nothing is foretold.
fn forecast(analysis: &Analysis, leak: &Leak, growth: Growth, rate: f64) -> Option<Duration> {
    if !growth.is_significant() || !has_grown_steadily(&leak.ages) {
        return None;
    }
    let processes = leak.pids.iter().filter_map(|pid| analysis.process(*pid));
    let minutes = processes
        .filter_map(|process| {
            let left = usual_limit(process)?.checked_sub(process.open_fds.copied()?)?;
            Some(f64::from(u32::try_from(left).ok()?) / rate)
        })
        .min_by(f64::total_cmp)?;
    Some(Duration::from_secs_f64(minutes * 60.0))
}

/// Returns whether the ages show arrivals in each third of the time since the oldest.
fn has_grown_steadily(ages: &[Age]) -> bool {
    const SAMPLES: u32 = 3;
    let exact: Option<Vec<Duration>> = ages.iter().map(|age| age.exact()).collect();
    let exact = exact.unwrap_or_default();
    let Some(oldest) = exact.iter().max().copied() else {
        return false;
    };
    let third = oldest / SAMPLES;
    let came_in = |sample: u32| {
        let (from, to) = (third * sample, third * (sample + 1));
        exact.iter().any(|age| (from..=to).contains(age))
    };
    oldest >= FORECAST_SPAN && (0..SAMPLES).all(came_in)
}

/// Returns whether the number of connections was seen to grow by more than chance.
pub(super) fn grows(analysis: &Analysis, leak: &Leak) -> bool {
    analysis
        .growth(leak.endpoint)
        .is_some_and(Growth::is_significant)
}

/// `, and their number grows: 36 more in 6.0 s`, where it was seen to.
pub(super) fn growth_clause(analysis: &Analysis, leak: &Leak) -> String {
    match analysis.growth(leak.endpoint) {
        Some(growth) if growth.is_significant() => format!(
            ", and their number grows: {} more in {}",
            growth.change,
            seconds(growth.over)
        ),
        _ => String::new(),
    }
}

/// Critical when the leak takes the descriptors the process needs to live. Connections that we
/// opened ourselves may rest in a pool until they are next used, unless they become more and more.
pub(super) fn severity(analysis: &Analysis, leak: &Leak) -> Severity {
    let number = leak.most_in_one as u64;
    let endangers = leak
        .pids
        .iter()
        .filter_map(|pid| usual_limit(analysis.process(*pid)?))
        .any(|limit| is_near(number, limit));
    if endangers {
        return Severity::Critical;
    }
    if grows(analysis, leak) && !analysis.comes_and_goes(leak) {
        return Severity::Warning;
    }
    // They may all have been closed a moment ago, unless they were watched.
    if leak.overdue == 0 || analysis.comes_and_goes(leak) {
        return Severity::Info;
    }
    match leak.endpoint {
        Endpoint::Client(_) if leak.most_in_one <= POOL_CONNECTIONS => Severity::Info,
        Endpoint::Client(_) | Endpoint::Server(_) => Severity::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::FdLimit;

    fn limited(soft: u64, hard: u64, open: u64) -> Option<u64> {
        usual_limit(&Process {
            fd_limit: Reading::Known(FdLimit { soft, hard }),
            open_fds: Reading::Known(open),
            ..fixtures::process(1)
        })
    }

    #[test]
    fn a_limit_that_was_lowered_on_purpose_is_none_to_run_into() {
        assert_eq!(limited(1024, 4096, 900), Some(1024));
        assert_eq!(limited(64, 64, 10), Some(64));
        assert_eq!(limited(63, 63, 10), None);
        assert_eq!(limited(1, 1, 7), None);
        assert_eq!(limited(32, 1024, 40), None);
    }

    fn steady(seconds: &[u64]) -> bool {
        let exactly = |second: &u64| Age {
            at_least: Some(Duration::from_secs(*second)),
            at_most: Some(Duration::from_secs(*second)),
        };
        has_grown_steadily(&seconds.iter().map(exactly).collect::<Vec<_>>())
    }

    #[test]
    fn the_ends_of_an_age_are_compared_as_they_are_written() {
        let exact = |least, most: Option<u64>| {
            is_exact_in_print(&Age {
                at_least: Some(Duration::from_millis(least)),
                at_most: most.map(Duration::from_millis),
            })
        };
        assert!(exact(3500, Some(3500)));
        assert!(exact(3510, Some(3590)));
        assert!(!exact(3500, Some(3600)));
        assert!(!exact(3500, None));
        assert!(!is_exact_in_print(&Age::default()));
    }

    #[test]
    fn a_trend_takes_three_samples_over_a_span_that_is_not_tiny() {
        assert!(steady(&[5, 15, 30]));
        assert!(!steady(&[5, 15, 29]));
        assert!(!steady(&[25, 28, 30]));
        assert!(!steady(&[]));
    }
}
