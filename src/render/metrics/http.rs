//! Metrics of the exporter's own server.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::catalog::{HTTP_DROPPED, HTTP_REQUESTS};
use super::family::{Exposition, Family};

/// What the exporter's server has done since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpTally {
    /// Answers by status code.
    pub answered: BTreeMap<u16, u64>,
    /// Connections that were ended because no whole request came, or an answer was not taken, in time.
    pub slow: u64,
    /// Connections that were ended because there were too many.
    pub full: u64,
}

/// Writes the last part of a page: the server's own metrics, and the end.
///
/// # Errors
///
/// When the writer fails.
#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus keeps counters as floating point numbers itself"
)]
pub fn write_end(tally: &HttpTally, exposition: Exposition, out: &mut dyn Write) -> io::Result<()> {
    let mut requests = Family::new(&HTTP_REQUESTS);
    for (code, number) in &tally.answered {
        requests.add(&[&code.to_string()], *number as f64);
    }
    let mut dropped = Family::new(&HTTP_DROPPED);
    dropped.add(&["slow"], tally.slow as f64);
    dropped.add(&["full"], tally.full as f64);
    requests.write(exposition, out)?;
    dropped.write(exposition, out)?;
    out.write_all(exposition.end().as_bytes())
}
