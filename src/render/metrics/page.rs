//! One page of metrics: what the last look saw, and the looks themselves.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::bounds::{Bounds, MaxSeries};
use super::catalog::{
    BUILD_INFO, LAST_LOOK, LOOK_DURATION, LOOK_INTERVAL, LOOK_SUCCESS, LOOKS, SERIES_SUMMED,
};
use super::family::{Exposition, Family};
use super::findings::count;
use super::{findings, listeners, totals};
use crate::follow::{History, LookTally};
use crate::model::Pid;
use crate::report::Report;

/// What a page shows.
pub struct MetricsPage<'a> {
    /// The last look; none before the first, or if the last one failed.
    pub report: Option<&'a Report>,
    /// The looks before it.
    pub history: &'a History,
    /// The systemd units of processes, where they have one.
    pub units: &'a BTreeMap<Pid, String>,
    /// What became of the looks.
    pub looks: &'a LookTally,
    /// The time since the following began.
    pub now: Duration,
    /// How many series it may have.
    pub max_series: MaxSeries,
}

impl MetricsPage<'_> {
    /// Writes it, without what [`write_end`](super::write_end) adds.
    ///
    /// # Errors
    ///
    /// When the writer fails.
    pub fn write(&self, exposition: Exposition, out: &mut dyn Write) -> io::Result<()> {
        for family in self.families() {
            family.write(exposition, out)?;
        }
        Ok(())
    }

    fn families(&self) -> Vec<Family> {
        let mut families = of_looks(self.looks, self.report.is_some());
        let Some(report) = self.report else {
            return families;
        };
        let bounds = Bounds::new(self.max_series);
        families.extend(totals::families(report));
        families.push(findings::counts(report));
        let (followed, of_findings) = findings::followed(self.history, self.now, bounds.findings);
        let (at_listeners, of_listeners) =
            listeners::families(report, self.units, bounds.listeners);
        let (commands, of_commands) = totals::commands(report, self.units, bounds.commands);
        let (remotes, of_remotes) = totals::remotes(report, bounds.remotes);
        let (namespaces, of_namespaces) = totals::namespaces(report, bounds.namespaces);
        families.extend(followed);
        families.extend(at_listeners);
        families.extend([commands, remotes]);
        families.extend(namespaces);
        let mut summed = Family::new(&SERIES_SUMMED);
        summed.add(&["listener"], count(of_listeners));
        summed.add(&["finding"], count(of_findings));
        summed.add(&["command"], count(of_commands));
        summed.add(&["remote"], count(of_remotes));
        summed.add(&["namespace"], count(of_namespaces));
        families.push(summed);
        families
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus keeps counters as floating point numbers itself"
)]
fn of_looks(looks: &LookTally, succeeded: bool) -> Vec<Family> {
    let mut build = Family::new(&BUILD_INFO);
    build.add(&[env!("CARGO_PKG_VERSION")], 1.0);
    let mut outcomes = Family::new(&LOOKS);
    outcomes.add(&["success"], looks.success as f64);
    outcomes.add(&["cut"], looks.cut as f64);
    outcomes.add(&["failed"], looks.failed as f64);
    let mut families = vec![
        build,
        Family::single(&LOOK_INTERVAL, looks.interval.as_secs_f64()),
        outcomes,
    ];
    if let Some(took) = looks.last_took {
        families.push(Family::single(
            &LOOK_SUCCESS,
            f64::from(u8::from(succeeded)),
        ));
        families.push(Family::single(&LOOK_DURATION, took.as_secs_f64()));
    }
    if let Some(began) = looks.last_began {
        families.push(Family::single(&LAST_LOOK, began));
    }
    families
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::correlate::Analysis;
    use crate::correlate::fixtures::{listener, snapshot, waiting_connection};
    use crate::follow::LookOutcome;
    use crate::model::{BlindSpot, Connection, DroppedCounters, Inode, Scope, SocketTable};
    use crate::report::Circumstances;
    use crate::rules;

    fn report(listeners: u16, blind: bool) -> Report {
        let mut look = snapshot(SocketTable {
            listeners: (1..=listeners)
                .map(|port| listener(&format!("0.0.0.0:{port}"), port.into()))
                .collect(),
            connections: (0..listeners)
                .map(|port| Connection {
                    local: ([10, 0, 0, 5], 40_000).into(),
                    remote: ([10, 0, 0, 7], port).into(),
                    inode: Inode::new(100_000 + u32::from(port)),
                    ..waiting_connection(9000)
                })
                .collect(),
            ..SocketTable::default()
        });
        look.counters = Some(DroppedCounters {
            overflows: 3,
            drops: 5,
        });
        look.blind_spots.extend(blind.then(|| BlindSpot {
            what: "processes".to_owned(),
            why: String::new(),
            remedy: String::new(),
            hides_findings: true,
        }));
        let analysis = Arc::new(Analysis::new(look, Duration::from_secs(3)));
        let findings = rules::diagnose(&analysis);
        let circumstances = Circumstances {
            taken_at: String::new(),
            scope: Scope::default(),
            replayed: false,
        };
        Report::new(analysis, findings, circumstances)
    }

    fn with_page<T>(report: Option<&Report>, max: usize, use_it: impl Fn(&MetricsPage) -> T) -> T {
        let mut history = History::default();
        if let Some(report) = report {
            history.take(report, Duration::ZERO);
        }
        let mut looks = LookTally::new(Duration::from_secs(15));
        looks.count(LookOutcome::Success, 1000.5, Duration::from_millis(20));
        use_it(&MetricsPage {
            report,
            history: &history,
            units: &BTreeMap::new(),
            looks: &looks,
            now: Duration::from_secs(30),
            max_series: MaxSeries::new(max).unwrap(),
        })
    }

    fn text(report: Option<&Report>) -> String {
        with_page(report, 2000, |page| {
            let mut out = Vec::new();
            page.write(Exposition::Text, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        })
    }

    #[test]
    fn the_bound_holds_whatever_the_host_has() {
        for listeners in [0, 1, 50, 3000] {
            let report = report(listeners, false);
            for max in [MaxSeries::LEAST, 2000] {
                let series = with_page(Some(&report), max, |page| {
                    page.families().iter().map(Family::series).sum::<usize>()
                });
                assert!(series <= max, "{listeners} listeners: {series} of {max}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_summed_and_said() {
        let report = report(3000, false);
        let text = text(Some(&report));
        let other = "closewait_doctor_accept_queue_limit{netns=\"other\",listener=\"other\"";
        assert!(text.contains(other), "{text}");
        assert!(!text.contains("closewait_doctor_series_summed{kind=\"listener\"} 0"));
    }

    #[test]
    fn zero_is_told_only_where_nothing_hides() {
        let none = "closewait_doctor_findings{id=\"relay-pair\",severity=\"critical\"} 0\n";
        assert!(text(Some(&report(1, false))).contains(none));
        let blind = text(Some(&report(1, true)));
        assert!(!blind.contains(none));
        assert!(blind.contains("closewait_doctor_blind_spots{hides_findings=\"true\"} 1\n"));
    }

    #[test]
    fn a_failed_look_leaves_only_the_looks_themselves() {
        let text = text(None);
        assert!(text.contains("closewait_doctor_last_look_success 0\n"));
        assert!(text.contains("closewait_doctor_last_look_timestamp_seconds 1000.5\n"));
        assert!(!text.contains("close_wait_connections"));
    }

    #[test]
    fn counters_of_the_kernel_are_handed_on() {
        let text = text(Some(&report(1, false)));
        assert!(
            text.contains("listen_overflows_total{netns=\"current\"} 3\n"),
            "{text}"
        );
        assert!(text.contains("listen_drops_total{netns=\"current\"} 5\n"));
    }
}
