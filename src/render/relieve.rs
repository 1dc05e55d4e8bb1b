//! The report of `relieve`, for a person.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::cells::{TableOptions, plain_table, write_rows};
use super::paragraphs::write_text;
use crate::act::relieve::{Relief, ReliefOutcome, ReliefPlan};
use crate::render::escape::escape;
use crate::rules::Finding;

/// What a report of `relieve` is made of.
pub struct ReliefReport<'a> {
    /// When it began (RFC 3339, UTC).
    pub taken_at: String,
    /// The network namespace.
    pub netns: &'a str,
    /// The listener, where one was named.
    pub local: Option<SocketAddr>,
    /// What is to be done.
    pub plan: Option<&'a ReliefPlan>,
    /// Whether an earlier change was to be undone.
    pub undo: bool,
    /// What was done, and what came of it.
    pub relief: &'a Relief,
    /// What to do instead, where nothing was changed.
    pub instead: Vec<String>,
    /// The look before.
    pub before: ServerState,
    /// The look after, where anything was done.
    pub after: Option<ServerState>,
    /// How long all of it took.
    pub elapsed: Duration,
}

/// What a look says about the server.
pub struct ServerState {
    /// How many wait to be accepted.
    pub queue: u32,
    /// How many connections are in `CLOSE_WAIT`, accepted or not.
    pub close_wait: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Writes the report of `relieve`.
///
/// # Errors
///
/// When the writer fails.
pub fn write_relief_table(
    report: &ReliefReport,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (style, word) = word(report.relief.outcome);
    let bold = Style::new().bold();
    let mut subject: Vec<String> = report
        .local
        .map(|local| local.to_string())
        .into_iter()
        .collect();
    subject.extend(report.plan.map(|plan| plan.method.name().to_owned()));
    writeln!(
        out,
        "{style}{word}{style:#}  {bold}{}{bold:#}",
        subject.join("  ")
    )?;
    write_text("", [&report.relief.headline], options, out)?;
    writeln!(out)?;
    if let Some(plan) = report.plan {
        out.write_all(&plan_text(plan, options)?)?;
    }
    write_state("was", &report.before, options, out)?;
    if let Some(after) = &report.after {
        write_state("now", after, options, out)?;
    }
    write_text("do", &report.instead, options, out)?;
    write_log(report.relief, options, out)
}

/// The most lines of a plan, without `--verbose`.
const PLAN_LINES: usize = 10;

/// How many steps are shown at the beginning and at the end of a log.
const SHOWN: usize = 10;

/// Returns the text of a plan: all of it with `--verbose`, else as many steps and notes as fit.
fn plan_text(plan: &ReliefPlan, options: TableOptions) -> io::Result<Vec<u8>> {
    if options.is_full() {
        return plan_with(plan, plan.steps.len(), plan.notes.len(), options);
    }
    // The first note goes before further steps: it says what to know before.
    let mut fits = plan_with(plan, 1, 0, options)?;
    let notes = plan.notes.len();
    let steps = plan.steps.len();
    let choices = (1..=notes)
        .map(|notes| (1, notes))
        .chain((2..=steps).map(|steps| (steps, notes)));
    for (steps, notes) in choices {
        let text = plan_with(plan, steps, notes, options)?;
        if text.split(|byte| *byte == b'\n').count() > PLAN_LINES + 1 {
            break;
        }
        fits = text;
    }
    Ok(fits)
}

fn plan_with(
    plan: &ReliefPlan,
    steps: usize,
    notes: usize,
    options: TableOptions,
) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    write_text("why", [&plan.why], options, &mut text)?;
    let mut lines: Vec<String> = plan
        .steps
        .iter()
        .take(steps)
        .map(|(what, target)| format!("{target}: {what}"))
        .collect();
    let more = plan.steps.len().saturating_sub(steps);
    lines.extend((more > 0).then(|| format!("and {more} more like these (--verbose)")));
    write_text("plan", &lines, options, &mut text)?;
    write_text("note", plan.notes.iter().take(notes), options, &mut text)?;
    Ok(text)
}

fn word(outcome: ReliefOutcome) -> (Style, &'static str) {
    let (color, word) = match outcome {
        ReliefOutcome::Planned => (AnsiColor::Cyan, "PLAN"),
        ReliefOutcome::NothingToDo => (AnsiColor::Green, "NOTHING TO DO"),
        ReliefOutcome::Relieved => (AnsiColor::Green, "RELIEVED"),
        ReliefOutcome::Improved => (AnsiColor::Yellow, "IMPROVED"),
        ReliefOutcome::Unchanged => (AnsiColor::Yellow, "UNCHANGED"),
        ReliefOutcome::RolledBack => (AnsiColor::Yellow, "ROLLED BACK"),
        ReliefOutcome::Undone => (AnsiColor::Green, "UNDONE"),
        ReliefOutcome::Failed => (AnsiColor::Red, "NOT DONE"),
    };
    (color.on_default().bold(), word)
}

fn write_state(
    label: &str,
    state: &ServerState,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut lines = vec![format!(
        "{} wait to be accepted, {} in CLOSE_WAIT",
        state.queue, state.close_wait
    )];
    lines.extend(
        state
            .findings
            .iter()
            .map(|finding| format!("{}: {}", finding.id, finding.headline)),
    );
    write_text(label, &lines, options, out)
}

fn write_log(relief: &Relief, options: TableOptions, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    if relief.log.is_empty() {
        return Ok(());
    }
    let mut table = plain_table();
    table.set_header(["TIME", "STEP", "TARGET", "RESULT"]);
    let (begin, end) = (SHOWN, relief.log.len().saturating_sub(SHOWN));
    let mut left_out = 0;
    for (index, entry) in relief.log.iter().enumerate() {
        if !options.is_full() && entry.ok && (begin..end).contains(&index) {
            left_out += 1;
            continue;
        }
        if left_out > 0 {
            let more = format!("and {left_out} more that went well (--verbose)");
            table.add_row(["", "", "", &more]);
            left_out = 0;
        }
        let result = if entry.ok {
            escape(&entry.result).into_owned()
        } else {
            format!("FAILED: {}", escape(&entry.result))
        };
        table.add_row([
            format!("{:.3}s", entry.at.as_secs_f64()),
            entry.step.to_owned(),
            escape(&entry.target).into_owned(),
            result,
        ]);
    }
    write_rows(&mut table, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::relieve::{Action, Method};
    use crate::render::Detail;

    fn plan(steps: usize) -> ReliefPlan {
        let step = (
            "register it again with the same mask".to_owned(),
            "process 1: ".repeat(9),
        );
        ReliefPlan {
            method: Method::Rearm,
            why: "an edge is missing".to_owned(),
            steps: vec![step; steps],
            notes: vec!["a note that is long enough to be wrapped. ".repeat(3); 2],
            action: Action::Rearm(Vec::new()),
        }
    }

    fn lines(steps: usize, width: Option<u16>, all: bool) -> (usize, String) {
        let detail = if all { Detail::Full } else { Detail::Usual };
        let options = TableOptions {
            width,
            detail,
            ..TableOptions::default()
        };
        let text = String::from_utf8(plan_text(&plan(steps), options).unwrap()).unwrap();
        (text.lines().count(), text)
    }

    #[test]
    fn a_plan_takes_at_most_ten_lines() {
        for width in [None, Some(80), Some(100)] {
            for steps in [1, 2, 7, 200] {
                let (count, text) = lines(steps, width, false);
                assert!(count <= PLAN_LINES, "{count} lines:\n{text}");
            }
        }
    }

    #[test]
    fn the_steps_that_are_left_out_are_counted() {
        let (_, text) = lines(200, None, false);
        assert!(text.contains("more like these (--verbose)"), "{text}");
        let (count, text) = lines(200, None, true);
        assert!(count > 200 && !text.contains("more like these"), "{text}");
    }
}
