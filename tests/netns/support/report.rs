//! The JSON report, read as a script would read it.

use std::ops::Index;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Closed, Queue, Run};

pub(crate) struct Report {
    json: Value,
}

impl Index<&str> for Report {
    type Output = Value;

    fn index(&self, field: &str) -> &Value {
        &self.json[field]
    }
}

impl Report {
    pub(crate) fn new(json: Value) -> Self {
        assert_eq!(json["schema"], "closewait-doctor.report/v1");
        Self { json }
    }

    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// The findings that require action.
    pub(crate) fn above_info(&self) -> Vec<&Value> {
        items(&self.json["findings"])
            .filter(|finding| finding["severity"] != "info")
            .collect()
    }

    /// The only finding above info, which has to be this one.
    pub(crate) fn only(&self, id: &str) -> &Value {
        self.only_one_of(&[id])
    }

    /// The only finding above info, which has to be one of these.
    pub(crate) fn only_one_of(&self, ids: &[&str]) -> &Value {
        let findings = self.above_info();
        let [finding] = findings[..] else {
            panic!("expected one finding, of {ids:?}: {:#}", self.json)
        };
        assert!(
            ids.iter().any(|id| finding["id"] == *id),
            "expected one of {ids:?}: {finding:#}"
        );
        finding
    }

    pub(crate) fn assert_healthy(&self) {
        assert!(self.above_info().is_empty(), "{:#}", self.json);
        assert_eq!(
            self.json["summary"]["verdict"], "healthy",
            "{:#}",
            self.json
        );
    }

    /// The listeners in the report.
    pub(crate) fn listeners(&self) -> Vec<&Value> {
        items(&self.json["listeners"]).collect()
    }

    /// The accept queue of the only listener in the report.
    pub(crate) fn accept_queue(&self) -> &Value {
        let listeners = self.listeners();
        assert_eq!(listeners.len(), 1, "{:#}", self.json);
        &listeners[0]["accept_queue"]
    }

    /// The only listener's queue is as `ss` sees it, and holds these, and no others.
    pub(crate) fn assert_queue(&self, ss: Queue, close_wait: u64, established: u64, reset: u64) {
        let queue = self.accept_queue();
        assert_eq!(queue["length"], ss.length, "{queue:#}");
        assert_eq!(queue["limit"], ss.limit, "{queue:#}");
        assert_eq!(queue["close_wait"], close_wait, "{queue:#}");
        assert_eq!(queue["established"], established, "{queue:#}");
        assert_eq!(queue["reset"], reset, "{queue:#}");
        assert_eq!(
            close_wait + established + reset,
            ss.length,
            "the test expects what ss does not see"
        );
    }

    /// The connections in `CLOSE_WAIT`.
    pub(crate) fn close_waits(&self) -> Vec<&Value> {
        items(&self.json["connections"])
            .filter(|connection| connection["state"] == "CLOSE_WAIT")
            .collect()
    }

    /// The connections in `CLOSE_WAIT` are these, each is as old as the clients know, and its end was, or was not, read.
    pub(crate) fn assert_closed(&self, run: &Run, closed: &[Closed], eof: &str) {
        let connections = self.close_waits();
        assert_eq!(connections.len(), closed.len(), "{connections:#?}");
        for truth in closed {
            // Not the address: a client may be 127.0.0.1 or ::ffff:127.0.0.1 to its server.
            let port = format!(":{}", truth.client.port());
            let connection = connections
                .iter()
                .find(|connection| {
                    connection["remote"]
                        .as_str()
                        .is_some_and(|remote| remote.ends_with(&port))
                })
                .unwrap_or_else(|| panic!("{port} is missing in {connections:#?}"));
            assert_eq!(connection["eof"], eof, "{connection:#}");
            assert_age(connection, truth.at, run);
        }
    }
}

/// A connection is as old as one that its client closed at that moment; the doctor looked at some moment of its run.
pub(crate) fn assert_age(connection: &Value, closed_at: Instant, run: &Run) {
    let tolerance = Duration::from_millis(100);
    let youngest = run
        .started
        .duration_since(closed_at)
        .saturating_sub(tolerance);
    let oldest = run.ended.duration_since(closed_at) + tolerance;
    let age = Duration::from_millis(
        connection["age_ms"]
            .as_u64()
            .unwrap_or_else(|| panic!("no age: {connection:#}")),
    );
    assert!(
        (youngest..=oldest).contains(&age),
        "{age:?} is not in {youngest:?}..{oldest:?}: {connection:#}"
    );
    if let Some(at_most) = connection["age_at_most_ms"].as_u64() {
        assert!(Duration::from_millis(at_most) >= youngest, "{connection:#}");
    }
}

pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Returns whether a finding speaks of something, in its headline or in what was seen.
pub(crate) fn says(finding: &Value, part: &str) -> bool {
    let headline = std::iter::once(&finding["headline"]);
    headline
        .chain(items(&finding["evidence"]))
        .filter_map(Value::as_str)
        .any(|text| text.contains(part))
}

/// Returns whether a finding advises something.
pub(crate) fn advises(finding: &Value, part: &str) -> bool {
    items(&finding["remedies"])
        .filter_map(Value::as_str)
        .any(|text| text.contains(part))
}

/// Fails unless a finding is about these processes, in any order.
pub(crate) fn assert_blames(finding: &Value, pids: &[u32]) {
    let mut blamed: Vec<u64> = items(&finding["subject"]["pids"])
        .filter_map(Value::as_u64)
        .collect();
    let mut expected: Vec<u64> = pids.iter().copied().map(u64::from).collect();
    blamed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(blamed, expected, "{finding:#}");
}
