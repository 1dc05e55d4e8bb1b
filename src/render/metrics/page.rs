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
