//! Every metric of the exporter: names, kinds and labels are a promise.

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up, or starts again at 0.
    Counter,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, without the prefix and without the `_total` of a counter.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// What all names begin with.
pub const PREFIX: &str = "closewait_doctor_";

impl Metric {
    /// Returns its full name, as a query names it.
    pub fn full_name(&self) -> String {
        let suffix = match self.kind {
            Kind::Gauge => "",
            Kind::Counter => "_total",
        };
        format!("{PREFIX}{}{suffix}", self.name)
    }
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub(super) static $constant: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &$labels,
                help: $help,
            };
        )*
        /// All metrics, in the order in which they are written.
        pub static METRICS: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    BUILD_INFO Gauge "build_info" ["version"], "Always 1; says which version runs.";
    LOOK_SUCCESS Gauge "last_look_success" [], "1 if the last look could be taken, 0 if it failed. After a failed look the page has no metrics of the host.";
    LOOKS Counter "looks" ["outcome"], "Looks since the exporter started: success, cut (the time of the look was used up), failed.";
    LOOK_DURATION Gauge "look_duration_seconds" [], "How long the last look took.";
    LAST_LOOK Gauge "last_look_timestamp_seconds" [], "When the last look that could be taken began, in seconds since 1970.";
    LOOK_INTERVAL Gauge "look_interval_seconds" [], "The time between the beginnings of two looks.";
    VERDICT Gauge "verdict" ["verdict"], "1 for the verdict of the last look (healthy, degraded, critical, unknown), 0 for the others.";
    FINDINGS Gauge "findings" ["id", "severity"], "Findings of the last look. 0 where the look saw that there is none; absent where one could hide in a blind spot.";
    FINDING_CONNECTIONS Gauge "finding_connections" ["id", "severity", "netns", "subject", "command"], "Connections that a finding covers. The subject is an address, or the names of processes.";
    FINDING_AGE Gauge "finding_age_seconds" ["id", "severity", "netns", "subject", "command"], "For how long the exporter has seen a finding at every look.";
    BLIND_SPOTS Gauge "blind_spots" ["hides_findings"], "What the last look could not see; true where a finding could hide in it.";
    NAMESPACES Gauge "network_namespaces" [], "Network namespaces that the last look saw.";
    NAMESPACE_INFO Gauge "network_namespace_info" ["netns", "container_runtime", "container", "pod_uid", "unit"], "Always 1; says what a network namespace belongs to. To be joined by netns.";
    LISTENERS Gauge "listeners" [], "Listening TCP sockets that the last look saw.";
    QUEUE_LENGTH Gauge "accept_queue_length" ["netns", "listener", "command", "unit"], "Connections that wait to be accepted, whatever their state.";
    QUEUE_LIMIT Gauge "accept_queue_limit" ["netns", "listener", "command", "unit"], "How many connections may wait; the kernel admits one more.";
    QUEUE_MEMBERS Gauge "accept_queue_connections" ["netns", "listener", "command", "unit", "state"], "Connections that wait to be accepted, by state: established, close_wait, reset (reset while they waited). Absent where it is not certain.";
    QUEUE_OLDEST Gauge "accept_queue_oldest_seconds" ["netns", "listener", "command", "unit"], "How long the oldest connection that waits to be accepted has waited, as far as it is known; absent with an empty queue.";
    ACCEPTED Gauge "accepted_connections" ["netns", "listener", "command", "unit"], "Accepted connections in every state. Counted only where something is suspicious, otherwise absent.";
    ACCEPTED_CLOSE_WAIT Gauge "accepted_close_wait_connections" ["netns", "listener", "command", "unit"], "Accepted connections in CLOSE_WAIT.";
    ACCEPTED_UNREAD Gauge "accepted_unread_connections" ["netns", "listener", "command", "unit"], "Accepted connections with something left to read. Counted only where something is suspicious, otherwise absent.";
    ACCEPTED_OLDEST Gauge "accepted_close_wait_oldest_seconds" ["netns", "listener", "command", "unit"], "How long the oldest accepted connection in CLOSE_WAIT has been so, at least; absent without one.";
    CLOSE_WAIT Gauge "close_wait_connections" ["place"], "Connections in CLOSE_WAIT: accept_queue (never accepted), process (held by a known process), unattributed.";
    CLOSE_WAIT_COMMAND Gauge "command_close_wait_connections" ["command", "unit"], "Connections in CLOSE_WAIT by the process that holds them. One that two processes hold counts for both.";
    CLOSE_WAIT_REMOTE Gauge "remote_close_wait_connections" ["netns", "remote"], "Connections in CLOSE_WAIT that this host opened, by remote service.";
    OVERFLOWS Counter "listen_overflows" ["netns"], "Connections that the kernel refused because an accept queue was full (ListenOverflows), since the namespace was made.";
    DROPS Counter "listen_drops" ["netns"], "Connections that the kernel dropped at a listener for any reason (ListenDrops), since the namespace was made.";
    SERIES_SUMMED Gauge "series_summed" ["kind"], "How many listeners, findings, commands, remotes and namespaces are summed in `other` because of --max-series.";
    HTTP_REQUESTS Counter "http_requests" ["code"], "Requests that the exporter answered, by status code.";
    HTTP_DROPPED Counter "http_connections_dropped" ["reason"], "Connections to the exporter that it ended: slow (no whole request, or an answer not taken, in time), full (too many at once).";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_rules_of_prometheus() {
        let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(metric.name.chars().all(is_plain), "{}", metric.name);
            assert!(!metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
