#![doc = include_str!("../../docs/findings/dead-descriptor.md")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::evidence::{count, process_name, seconds};
use super::remedies::{Cause, Facts, remedies};
use super::thresholds::{DEAD_FEWEST, DEAD_MANY, DEAD_WARNING_PERCENT, LEAK_CRITICAL_PERCENT};
use super::{Check, Confidence, Evidence, Finding, Rule, Severity, Subject, SubjectKind};
use crate::correlate::Analysis;
use crate::model::{DeadDescriptors, Process};

pub(super) const RULE: Rule = Rule {
    id: "dead-descriptor",
    page: include_str!("../../docs/findings/dead-descriptor.md"),
    check: Check::Dead(check),
};

fn check(analysis: &Analysis, dead: &DeadDescriptors) -> Option<Finding> {
    let number = dead.sockets.len();
    if number < DEAD_FEWEST {
        return None;
    }
    let process = analysis.process(dead.pid)?;
    let services = services(dead);
    let asked = dead.sockets.iter().all(|socket| socket.local.is_some());
    Some(Finding {
        id: RULE.id,
        severity: severity(process, dead, asked),
        confidence: if asked && dead.seen_over.is_some() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        subject: Subject {
            netns: analysis.snapshot.namespace.name.clone(),
            kind: SubjectKind::Process,
            local: match services[..] {
                [(local, all)] if all == number => Some(local),
                _ => None,
            },
            remote: None,
            pids: vec![dead.pid],
        },
        headline: format!(
            "{} holds {} of TCP {}: no socket list shows them, and they still count against \
             RLIMIT_NOFILE",
            process_name(process),
            count(number, "descriptor"),
            if asked {
                "connections that no longer exist"
            } else {
                "sockets without a connection"
            },
        ),
        evidence: evidence(process, dead, &services, asked)
            .into_iter()
            .map(Evidence::from)
            .collect(),
        conclusion: None,
        remedies: remedies(&Facts::of(RULE.id, Cause::NotClosed, Some(process))),
        connections: number,
    })
}

/// Critical only where it is known that they were connections.
fn severity(process: &Process, dead: &DeadDescriptors, asked: bool) -> Severity {
    let number = dead.sockets.len();
    let takes = |percent: u64| {
        process.fd_limit.copied().is_some_and(|limit| {
            (number as u64).saturating_mul(100) >= limit.soft.saturating_mul(percent)
        })
    };
    // Those of a single look may all have been reset a moment ago.
    if number < DEAD_MANY && dead.seen_over.is_none() {
        Severity::Info
    } else if asked && takes(LEAK_CRITICAL_PERCENT) {
        Severity::Critical
    } else if number >= DEAD_MANY || takes(DEAD_WARNING_PERCENT) {
        Severity::Warning
    } else {
        Severity::Info
    }
}

fn evidence(
    process: &Process,
    dead: &DeadDescriptors,
    services: &[(SocketAddr, usize)],
    asked: bool,
) -> Vec<String> {
    let mut seen = vec![format!(
        "{} without a record in the kernel's tables, in any state{}",
        count(dead.sockets.len(), "TCP socket"),
        match dead.seen_over {
            Some(over) => format!("; the same ones at a second look {} later", seconds(over)),
            None => "; looked at once".to_owned(),
        }
    )];
    if let Some(open) = process.open_fds.copied() {
        let limit = process.fd_limit.copied();
        let limit = limit.map_or(String::new(), |limit| format!(" of {}", limit.soft));
        seen.push(format!(
            "{} has {open}{limit} descriptors open",
            process_name(process)
        ));
    }
    seen.extend(addresses(services));
    if !asked {
        seen.push(
            "the sockets could not be asked for their old addresses: they may never have been \
             connected, or belong to another network namespace"
                .to_owned(),
        );
    }
    seen.push(sample(dead));
    seen
}

/// The addresses that the connections had on this host, the most frequent first.
fn services(dead: &DeadDescriptors) -> Vec<(SocketAddr, usize)> {
    let mut services: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for local in dead.sockets.iter().filter_map(|socket| socket.local) {
        *services.entry(local).or_default() += 1;
    }
    let mut services: Vec<_> = services.into_iter().collect();
    services.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    services
}

fn addresses(services: &[(SocketAddr, usize)]) -> Option<String> {
    const SHOWN: usize = 3;
    // A port of our own that was used once says nothing.
    let repeated = services.iter().filter(|(_, number)| *number > 1);
    let named: Vec<String> = repeated
        .take(SHOWN)
        .map(|(local, number)| format!("{local} ({number})"))
        .collect();
    let others = services.len() - named.len();
    let others = match (named.is_empty(), others) {
        (true, 0) => return None,
        (false, 0) => String::new(),
        (true, others) => format!("{others} different ones"),
        (false, others) => format!(" and {others} others"),
    };
    Some(format!(
        "their local addresses were {}{others}",
        named.join(", ")
    ))
}

fn sample(dead: &DeadDescriptors) -> String {
    const SHOWN: usize = 5;
    let fds: Vec<String> = dead
        .sockets
        .iter()
        .take(SHOWN)
        .map(|socket| socket.fd.to_string())
        .collect();
    let more = if dead.sockets.len() > SHOWN {
        ", ..."
    } else {
        ""
    };
    format!("fd {}{more}", fds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures;
    use crate::model::{DeadSocket, FdLimit, Inode, Reading, Snapshot, SocketTable};
    use std::time::Duration;

    fn snapshot(number: u32, soft: u64, local: Option<&str>) -> Snapshot {
        let mut snapshot = fixtures::snapshot(SocketTable::default());
        let mut process = fixtures::process(7);
        process.fd_limit = Reading::Known(FdLimit { soft, hard: soft });
        snapshot.processes.insert(7, process);
        snapshot.dead.push(DeadDescriptors {
            pid: 7,
            sockets: (1..=number)
                .map(|ordinal| DeadSocket {
                    fd: ordinal,
                    inode: Inode::new(ordinal).unwrap(),
                    local: local.map(|local| local.parse().unwrap()),
                })
                .collect(),
            seen_over: Some(Duration::from_millis(150)),
        });
        snapshot
    }

    fn finding(snapshot: &Snapshot) -> Option<Finding> {
        check(&Analysis::new(snapshot, Duration::ZERO), &snapshot.dead[0])
    }

    fn severity_of(number: u32, soft: u64) -> Option<Severity> {
        finding(&snapshot(number, soft, Some("10.0.0.1:8080"))).map(|finding| finding.severity)
    }

    #[test]
    fn severity_follows_the_number_and_its_share_of_the_limit() {
        assert_eq!(severity_of(15, 16), None);
        assert_eq!(severity_of(16, 1_000_000), Some(Severity::Info));
        assert_eq!(severity_of(99, 1_000_000), Some(Severity::Info));
        assert_eq!(severity_of(100, 1_000_000), Some(Severity::Warning));
        assert_eq!(severity_of(16, 64), Some(Severity::Warning));
        assert_eq!(severity_of(16, 65), Some(Severity::Info));
        assert_eq!(severity_of(16, 32), Some(Severity::Critical));
    }

    #[test]
    fn a_single_look_at_a_few_is_no_alarm() {
        let mut seen = snapshot(16, 32, Some("10.0.0.1:8080"));
        seen.dead[0].seen_over = None;
        let found = finding(&seen).unwrap();
        assert_eq!(found.severity, Severity::Info);
        assert_eq!(found.confidence, Confidence::Likely);
    }

    #[test]
    fn it_is_certain_of_sockets_that_could_be_asked() {
        let found = finding(&snapshot(120, 1024, Some("10.0.0.1:8080"))).unwrap();
        assert_eq!(found.confidence, Confidence::Certain);
        assert_eq!(found.connections, 120);
        assert_eq!(found.subject.local, Some("10.0.0.1:8080".parse().unwrap()));
        let unasked = finding(&snapshot(120, 1024, None)).unwrap();
        assert_eq!(unasked.confidence, Confidence::Likely);
        assert_eq!(unasked.subject.local, None);
        assert!(unasked.headline.contains("without a connection"));
        let most = finding(&snapshot(120, 120, None)).unwrap();
        assert_eq!(most.severity, Severity::Warning);
    }
}
