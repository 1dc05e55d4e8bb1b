//! One line for a monitoring system: the status, why, and performance data, as the
//! monitoring-plugin guidelines have it.

use std::io::{self, Write};

use super::escape::escape;
use super::problem::{Problem, in_short, problems};
use crate::report::{Check, Evaluation, Metric, Report, Status};

/// Monitoring systems cut long lines; what is worst comes first.
const SHOWN_PROBLEMS: usize = 5;

/// Writes the line.
///
/// # Errors
///
/// When the writer fails.
pub fn write_line(report: &Report, check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let data: Vec<String> = check.evaluations.iter().map(performance).collect();
    let origin = report.origin.as_ref();
    let origin = origin.map_or_else(String::new, |origin| format!(" ({origin})"));
    let text = harmless(&format!("{}{origin}", summary(report, check)));
    let status = status_word(check.status);
    writeln!(out, "CLOSEWAIT {status} - {text} | {}", data.join(" "))
}

/// Writes the line of a check that could not look.
///
/// # Errors
///
/// When the writer fails.
pub fn write_failed_line(reason: &str, out: &mut dyn Write) -> io::Result<()> {
    let status = status_word(Status::Unknown);
    writeln!(out, "CLOSEWAIT {status} - {}", harmless(reason))
}

/// A status as monitoring systems call it.
pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Ok => "OK",
        Status::Unknown => "UNKNOWN",
        Status::Warning => "WARNING",
        Status::Critical => "CRITICAL",
    }
}

fn summary(report: &Report, check: &Check) -> String {
    let problems = problems(report, check);
    if problems.is_empty() {
        return in_short(report);
    }
    let mut parts: Vec<String> = problems
        .iter()
        .take(SHOWN_PROBLEMS)
        .map(Problem::sentence)
        .collect();
    if problems.len() > SHOWN_PROBLEMS {
        parts.push(format!("and {} more", problems.len() - SHOWN_PROBLEMS));
    }
    parts.join("; ")
}

/// The label of a metric, a promise to those who draw graphs of it.
pub(super) fn label(metric: Metric) -> &'static str {
    match metric {
        Metric::CloseWait => "close_wait",
        Metric::QueueFill => "queue",
        Metric::QueueLength => "queue_length",
        Metric::Age => "oldest_age",
        Metric::AcceptedCloseWait => "accepted_close_wait",
    }
}

/// `label=value[UOM];[warn];[crit];[min]`. There is no maximum: a full queue holds one more than
/// its limit, which makes more than 100 %.
fn performance(evaluation: &Evaluation) -> String {
    let label = label(evaluation.metric);
    let measured = &evaluation.measured;
    // What may be anything has no value to draw; of what has a lower bound, that is drawn.
    let value = match (measured.at_least, measured.at_most) {
        (0, None) => "U".to_owned(),
        (at_least, _) => evaluation.metric.amount(at_least).to_string(),
    };
    let limit =
        |limit: Option<u64>| limit.map_or_else(String::new, |limit| number(evaluation, limit));
    let (warn, crit) = (limit(evaluation.limits.warn), limit(evaluation.limits.crit));
    format!("{label}={value};{warn};{crit};0")
}

/// A threshold in the unit of its value, without naming it.
fn number(evaluation: &Evaluation, amount: u64) -> String {
    let text = evaluation.metric.amount(amount).to_string();
    text.trim_end_matches(['s', '%']).to_owned()
}

/// On one line, and without the sign that performance data begins with.
fn harmless(text: &str) -> String {
    escape(text).replace('|', "\\u{7c}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Limits, Measurement};

    fn data(metric: Metric, at_least: u64, at_most: Option<u64>, limits: Limits) -> String {
        performance(&Evaluation {
            metric,
            measured: Measurement {
                at_least,
                at_most,
                ..Measurement::default()
            },
            limits,
            status: Status::Ok,
        })
    }

    #[test]
    fn performance_data_has_the_unit_on_the_value_only() {
        let limits = |warn, crit| Limits { warn, crit };
        assert_eq!(
            data(Metric::CloseWait, 22, Some(22), limits(Some(10), Some(100))),
            "close_wait=22;10;100;0"
        );
        assert_eq!(
            data(Metric::QueueFill, 5, Some(5), limits(None, Some(80))),
            "queue=5%;;80;0"
        );
        assert_eq!(
            data(Metric::Age, 9412, Some(9412), limits(Some(60_000), None)),
            "oldest_age=9.412s;60;;0"
        );
    }

    #[test]
    fn what_may_be_anything_has_no_value() {
        assert_eq!(
            data(Metric::Age, 0, None, Limits::default()),
            "oldest_age=U;;;0"
        );
        assert_eq!(
            data(Metric::Age, 150, None, Limits::default()),
            "oldest_age=0.150s;;;0"
        );
    }

    #[test]
    fn a_name_cannot_begin_performance_data_or_a_line() {
        let mut out = Vec::new();
        write_failed_line("opening a|b=1\n\x1b[2J", &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "CLOSEWAIT UNKNOWN - opening a\\u{7c}b=1\\n\\u{1b}[2J\n"
        );
    }
}
