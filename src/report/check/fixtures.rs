//! Looks that tests of this folder start from.

use std::time::Duration;

use super::Report;
use crate::correlate::Analysis;
use crate::correlate::fixtures::{listener, snapshot};
use crate::model::{BlindSpot, Connection, Reading, Scope, Snapshot, SocketTable};
use crate::report::Circumstances;
use crate::rules::{Confidence, Finding, Severity, Subject, SubjectKind};

/// A listener on port 8080 with these connections.
pub(super) fn look(length: u32, limit: u32, connections: Vec<Connection>) -> Snapshot {
    let mut listener = listener("127.0.0.1:8080", 7);
    listener.accept_queue_len = length;
    listener.accept_queue_limit = Reading::Known(limit);
    snapshot(SocketTable {
        other_listeners: Vec::new(),
        listeners: vec![listener],
        connections,
    })
}

pub(super) fn with_report(snapshot: &Snapshot, test: impl FnOnce(&Report)) {
    with_findings(snapshot, Vec::new(), test);
}

pub(super) fn with_findings(
    snapshot: &Snapshot,
    findings: Vec<Finding>,
    test: impl FnOnce(&Report),
) {
    let analysis = Analysis::new(snapshot, Duration::from_secs(3));
    let circumstances = Circumstances {
        taken_at: "2026-01-01T00:00:00.000Z".to_owned(),
        scope: Scope::default(),
        replayed: false,
    };
    test(&Report::new(analysis.into(), findings, circumstances));
}

pub(super) fn finding(severity: Severity) -> Finding {
    Finding {
        id: "unread-eof",
        severity,
        confidence: Confidence::Certain,
        subject: Subject {
            netns: "current".to_owned(),
            kind: SubjectKind::Process,
            local: None,
            remote: None,
            pids: Vec::new(),
        },
        headline: "it is unread".to_owned(),
        evidence: Vec::new(),
        conclusion: None,
        remedies: Vec::new(),
        connections: 1,
    }
}

pub(super) fn blind_spot(hides_findings: bool) -> BlindSpot {
    BlindSpot {
        what: "descriptors".to_owned(),
        why: "not permitted".to_owned(),
        remedy: "run as root".to_owned(),
        hides_findings,
    }
}
