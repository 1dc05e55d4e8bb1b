//! What `relieve` would do, or did, for a person.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::cells::{TableOptions, plain_table, write_rows};
use super::table::write_text;
use crate::act::relieve::{Deed, Outcome, Plan};
use crate::render::escape::escape;
use crate::rules::Finding;

/// What there is to say of a relief.
pub struct ReliefReport<'a> {
    /// When it began (RFC 3339, UTC).
    pub taken_at: String,
    /// The network namespace.
    pub netns: &'a str,
    /// The listener, where one was named.
    pub local: Option<SocketAddr>,
    /// What is to be done.
    pub plan: Option<&'a Plan>,
    /// Whether an earlier change was to be undone.
    pub undo: bool,
    /// What was done, and what came of it.
    pub deed: &'a Deed,
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

/// Writes it.
///
/// # Errors
///
/// When the writer fails.
pub fn write_relief_table(
    report: &ReliefReport,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (style, word) = word(report.deed.outcome);
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
    write_text("", [&report.deed.headline], options, out)?;
    writeln!(out)?;
    if let Some(plan) = report.plan {
        write_text("why", [&plan.why], options, out)?;
        let shown = if options.all { usize::MAX } else { SHOWN };
        let mut steps: Vec<String> = plan
            .steps
            .iter()
            .take(shown)
            .map(|(what, target)| format!("{target}: {what}"))
            .collect();
        let more = plan.steps.len() - steps.len();
        steps.extend((more > 0).then(|| format!("and {more} more like these")));
        write_text("plan", &steps, options, out)?;
        write_text("note", &plan.notes, options, out)?;
    }
    write_state("was", &report.before, options, out)?;
    if let Some(after) = &report.after {
        write_state("now", after, options, out)?;
    }
    write_log(report.deed, options, out)
}

/// So many steps of a plan are shown, and so many at the beginning and at the end of a log.
const SHOWN: usize = 10;

fn word(outcome: Outcome) -> (Style, &'static str) {
    let (color, word) = match outcome {
        Outcome::Planned => (AnsiColor::Cyan, "PLAN"),
        Outcome::NothingToDo => (AnsiColor::Green, "NOTHING TO DO"),
        Outcome::Relieved => (AnsiColor::Green, "RELIEVED"),
        Outcome::Improved => (AnsiColor::Yellow, "IMPROVED"),
        Outcome::Unchanged => (AnsiColor::Yellow, "UNCHANGED"),
        Outcome::RolledBack => (AnsiColor::Yellow, "ROLLED BACK"),
        Outcome::Undone => (AnsiColor::Green, "UNDONE"),
        Outcome::Failed => (AnsiColor::Red, "NOT DONE"),
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

fn write_log(deed: &Deed, options: TableOptions, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    if deed.log.is_empty() {
        return Ok(());
    }
    let mut table = plain_table();
    table.set_header(["TIME", "STEP", "TARGET", "RESULT"]);
    let (begin, end) = (SHOWN, deed.log.len().saturating_sub(SHOWN));
    let mut left_out = 0;
    for (index, entry) in deed.log.iter().enumerate() {
        if !options.all && entry.ok && (begin..end).contains(&index) {
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
