//! What the rules on connections that a process holds have in common.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::evidence::{count, process_name, process_names, seconds};
use super::thresholds::{LEAK_CRITICAL_PERCENT, POOL_CONNECTIONS};
use super::{Severity, Subject, SubjectKind};
use crate::correlate::{Analysis, Endpoint, Leak, age};
use crate::model::{Reading, Timer};

/// The process, or the connections where nobody is known to hold them.
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

/// Who holds the connections, by name.
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
pub(super) fn evidence(analysis: &Analysis, leak: &Leak) -> Vec<String> {
    let mut evidence = vec![age_evidence(leak), peer_evidence(leak, "closed by")];
    evidence.extend(mptcp_evidence(leak));
    evidence.extend(growth_evidence(analysis, leak));
    evidence.extend(reaped(leak));
    for process in leak.pids.iter().filter_map(|pid| analysis.process(*pid)) {
        if let (Some(open), Some(limit)) = (process.open_fds.copied(), process.fd_limit.copied()) {
            evidence.push(format!(
                "{} has {open} of {} descriptors open",
                process_name(process),
                limit.soft
            ));
        }
    }
    evidence
}

fn age_evidence(leak: &Leak) -> String {
    let ages: Vec<_> = leak
        .connections
        .iter()
        .filter_map(|connection| age::since_fin(connection).at_least.or(leak.seen_for))
        .collect();
    let number = count(leak.connections.len(), "connection");
    match (ages.iter().min(), ages.iter().max()) {
        (Some(youngest), Some(oldest)) if youngest == oldest => {
            format!("{number} in CLOSE_WAIT for {} or more", seconds(*oldest))
        }
        (Some(youngest), Some(oldest)) => format!(
            "{number} in CLOSE_WAIT for {} to {} or more",
            seconds(*youngest),
            seconds(*oldest)
        ),
        _ => format!("{number} in CLOSE_WAIT, for how long is not known"),
    }
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
    let exhausted = leak
        .pids
        .iter()
        .filter_map(|pid| analysis.process(*pid))
        .filter_map(|process| {
            let left = process
                .fd_limit
                .copied()?
                .soft
                .checked_sub(process.open_fds.copied()?)?;
            Some(f64::from(u32::try_from(left).ok()?) / rate)
        })
        .min_by(f64::total_cmp);
    let when = exhausted.map_or(String::new(), |minutes| {
        format!(
            "; at that rate its descriptors are used up in {}",
            seconds(Duration::from_secs_f64(minutes * 60.0))
        )
    });
    Some(format!(
        "{} more in {over}, {rate:.0} a minute{when}",
        growth.change
    ))
}

/// Critical when the leak takes the descriptors the process needs to live. Connections that we
/// opened ourselves may rest in a pool until they are next used.
pub(super) fn severity(analysis: &Analysis, leak: &Leak) -> Severity {
    let number = leak.connections.len() as u64;
    let endangers = leak
        .pids
        .iter()
        .filter_map(|pid| analysis.process(*pid)?.fd_limit.copied())
        .any(|limit| {
            number.saturating_mul(100) >= limit.soft.saturating_mul(LEAK_CRITICAL_PERCENT)
        });
    match leak.endpoint {
        _ if endangers => Severity::Critical,
        // Without clocks they may all have been closed a moment ago, unless they were watched.
        _ if leak
            .connections
            .iter()
            .all(|connection| connection.ages.is_none())
            && leak.seen_for.is_none_or(|time| time < analysis.grace) =>
        {
            Severity::Info
        }
        Endpoint::Client(_) if leak.connections.len() <= POOL_CONNECTIONS => Severity::Info,
        Endpoint::Client(_) | Endpoint::Server(_) => Severity::Warning,
    }
}
