#![doc = include_str!("../../docs/findings/unattributed-close-wait.md")]

use super::evidence::count;
use super::words::what_helps;
use super::{Check, Confidence, Evidence, Finding, Rule, leaks};
use crate::correlate::{Analysis, Leak, LeakKind};
use crate::model::HiddenSearch;

pub(super) const RULE: Rule = Rule {
    id: "unattributed-close-wait",
    page: include_str!("../../docs/findings/unattributed-close-wait.md"),
    check: Check::Leak(check),
};

fn check(analysis: &Analysis, leak: &Leak) -> Option<Finding> {
    if leak.kind != LeakKind::Unattributed {
        return None;
    }
    let mut seen = leaks::evidence(analysis, leak);
    let read = leak
        .connections
        .iter()
        .filter(|connection| connection.end_was_read() == Some(true))
        .count();
    seen.push(
        format!(
            "{}; the end of the stream was read on {read} of {}",
            accepted(analysis),
            leak.connections.len()
        )
        .into(),
    );
    let refused = !analysis.snapshot.coverage.holders.is_whole();
    let searched = analysis.snapshot.hidden.as_ref();
    let all = !refused && analysis.snapshot.coverage.hidden.is_whole();
    seen.push(Evidence::background(format!(
        "searched: {}",
        places(analysis, refused)
    )));
    if let Some(search) = searched
        && !search.in_flight.is_empty()
    {
        seen.push(in_flight(search).into());
    }
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(analysis, leak),
        confidence: if all {
            Confidence::Certain
        } else {
            Confidence::Possible
        },
        subject: leaks::subject(analysis, leak),
        headline: format!(
            "{} closed by the peer, and no process is seen to hold {}",
            leaks::connections(leak),
            leaks::them(leak),
        ),
        evidence: seen,
        conclusion: None,
        remedies: vec![remedy(analysis, refused).into()],
        connections: leak.connections.len(),
    })
}

fn remedy(analysis: &Analysis, refused: bool) -> String {
    if refused && !analysis.snapshot.source.is_text() {
        return what_helps(analysis);
    }
    let told = if analysis.snapshot.source.is_text() {
        "as root: ss -tanpoie; or closewait-doctor scan, or record -o FILE, on that host"
    } else {
        "look in other pid namespaces (run it on the host); receive or end what has descriptors in \
         flight; kernel consumers are NFS, iSCSI, nvme-tcp and the like"
    };
    told.to_owned()
}

/// How it is known that none of them waits to be accepted.
fn accepted(analysis: &Analysis) -> &'static str {
    if analysis.snapshot.source.is_text() {
        "each was accepted or opened: it has an inode, or its end of stream was read, or it has \
         sent, or there is nobody in the queue where it could wait"
    } else {
        "each has an inode, so each was accepted or opened"
    }
}

fn places(analysis: &Analysis, refused: bool) -> String {
    if analysis.snapshot.source.is_text() {
        return "the owners that the text shows".to_owned();
    }
    let tables = if refused {
        "the descriptors of some processes, not of all"
    } else {
        "the descriptors of every process"
    };
    match &analysis.snapshot.hidden {
        Some(_) if analysis.snapshot.coverage.hidden.is_whole() => {
            format!("{tables}, single threads, io_uring instances and unix sockets")
        }
        Some(_) => format!("{tables}, and some threads, io_uring instances and unix sockets"),
        None => tables.to_owned(),
    }
}

fn in_flight(search: &HiddenSearch) -> String {
    let (pid, fd, _) = search.in_flight[0];
    let number: u32 = search.in_flight.iter().map(|(_, _, count)| count).sum();
    format!(
        "{} in flight over unix sockets (process {pid}, fd {fd}{}): the connection may be among \
         them",
        count(number as usize, "descriptor"),
        if search.in_flight.len() > 1 {
            ", and others"
        } else {
            ""
        },
    )
}
