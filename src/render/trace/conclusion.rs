//! What a trace proves, in words.

use std::io::{self, Write};
use std::time::Duration;

use super::words;
use crate::correlate::tracing::{
    AcceptRecord, AcceptVerdict, Conclusion, Fates, LastStep, LeftOpen,
};
use crate::model::{EventKind, Trace, TraceSource};
use crate::render::cells::TableOptions;
use crate::render::escape::escape;
use crate::render::paragraphs::write_text;

/// Writes what was seen in numbers, and what it proves.
///
/// # Errors
///
/// When the writer fails.
pub fn write_conclusion(
    trace: &Trace,
    conclusion: &Conclusion,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out)?;
    write_text("seen", &seen(trace, conclusion), options, out)?;
    write_text("so", &so(trace, conclusion), options, out)?;
    write_text("but", &missed(trace), options, out)
}

/// What was seen, in numbers.
pub(super) fn seen(trace: &Trace, conclusion: &Conclusion) -> Vec<String> {
    let fates = &conclusion.fates;
    if matches!(trace.source, TraceSource::Polling { .. }) {
        return vec![format!(
            "{} changes in {}",
            trace.events.len(),
            span(trace.elapsed)
        )];
    }
    let accepted: usize = fates.accepted_by.values().sum();
    let mut lines = vec![format!(
        "{} connections came in {}, {accepted} were accepted",
        fates.arrived,
        span(trace.elapsed)
    )];
    if fates.accepted_by.len() > 1 {
        let by = fates.accepted_by.iter();
        let by: Vec<String> = by
            .map(|(pid, count)| format!("{count} by process {pid}"))
            .collect();
        lines.push(format!("accepted {}", by.join(", ")));
    }
    for queue in conclusion.queues.iter().filter(|queue| queue.length > 0) {
        let waiting = words::connections_wait(queue.length);
        lines.push(format!("{waiting} at {}", queue.listener));
    }
    if fates.lost_in_queue > 0 {
        lines.push(format!(
            "{} were reset before anybody accepted them",
            fates.lost_in_queue
        ));
    }
    if let Some(slowest) = fates.slowest_close {
        lines.push(format!(
            "the slowest close came {} after the end of the other side",
            span(slowest)
        ));
    }
    lines
}

/// What that proves.
pub(super) fn so(trace: &Trace, conclusion: &Conclusion) -> Vec<String> {
    let acceptors = conclusion.acceptors.iter();
    let mut lines: Vec<String> = acceptors
        .map(|(record, verdict)| verdict_text(trace, record, *verdict))
        .collect();
    lines.extend(nobody(conclusion));
    lines.extend(left_open(&conclusion.fates));
    lines
}

fn verdict_text(trace: &Trace, record: &AcceptRecord, verdict: AcceptVerdict) -> String {
    let thread = words::thread(&record.thread);
    match verdict {
        AcceptVerdict::StopsBeforeEagain { edge_triggered } => {
            let step = match record.last_step {
                Some(LastStep::Accept) => " after an accept()",
                Some(LastStep::Close) => " after a close()",
                None => "",
            };
            let edge = match edge_triggered {
                Some(true) => {
                    " The listener is registered edge-triggered, so nothing wakes it for them."
                }
                Some(false) | None => " Nothing woke it for them, as under edge-triggering.",
            };
            format!(
                "{thread} goes back to wait{step} without reaching EAGAIN: {} of {} times, {} accepted each time, \
                 {} left in the queue. It then slept for {} while they waited.{edge}",
                record.stopped,
                record.rounds,
                taken(record),
                record.left,
                span(record.slept)
            )
        }
        AcceptVerdict::NeverAccepts => format!(
            "{thread} watches the listener {}, and never calls accept: it began to wait {} times while connections \
             were in the queue, and slept for {}",
            record.listener,
            record.passed_by,
            span(record.slept)
        ),
        AcceptVerdict::Fails { errno } => format!(
            "{thread} cannot accept: {} {} times, {} left in the queue",
            words::errno(errno),
            record.failures.get(&errno).copied().unwrap_or(0),
            last_queue(trace, record)
        ),
        AcceptVerdict::LeavesRest => format!(
            "{thread} takes {} connections a wake-up, and is woken for the rest at once ({} of {} rounds): that is \
             right under level-triggering",
            taken(record),
            record.stopped,
            record.rounds
        ),
        AcceptVerdict::Serves => {
            format!(
                "{thread} accepts, and leaves nothing behind ({} accepted)",
                record.accepted
            )
        }
    }
}

/// How many connections are left after a failed accept, which a wait need not follow.
fn last_queue(trace: &Trace, record: &AcceptRecord) -> u32 {
    let newest_first = trace.events.iter().rev();
    let mut theirs = newest_first.filter(|event| {
        event
            .actor
            .as_ref()
            .is_some_and(|actor| actor.tid == record.thread.tid)
    });
    theirs
        .find_map(|event| match event.kind {
            EventKind::AcceptFailed { queue, .. } => Some(queue),
            _ => None,
        })
        .unwrap_or(record.left)
}

fn taken(record: &AcceptRecord) -> String {
    match record.taken {
        Some((least, most)) if least == most => least.to_string(),
        Some((least, most)) => format!("{least} to {most}"),
        None => "none".to_owned(),
    }
}

/// Queues that nobody has served.
fn nobody(conclusion: &Conclusion) -> impl Iterator<Item = String> {
    let unserved = conclusion.queues.iter();
    let is_whole = conclusion.is_whole;
    unserved
        .filter(move |queue| is_whole && queue.length > 0 && !queue.is_served)
        .map(|queue| {
            format!(
                "no thread called accept on {} in this time, although {} in its queue",
                queue.listener,
                words::connections_wait(queue.length)
            )
        })
}

fn left_open(fates: &Fates) -> impl Iterator<Item = String> {
    fates.left_open.iter().map(|(pid, left)| {
        let name = format!("{}[{pid}]", escape(&left.command));
        let oldest = span(left.oldest);
        format!(
            "{name} has not closed {} although their other end has, the oldest for {oldest}",
            counts(left)
        )
    })
}

fn counts(left: &LeftOpen) -> String {
    let noun = |count: usize| {
        if count == 1 {
            "connection"
        } else {
            "connections"
        }
    };
    let read = left.after_end_read;
    let unread = left.end_unread;
    match (read, unread) {
        (_, 0) => format!("{read} {} whose end of stream it has read", noun(read)),
        (0, _) => format!(
            "{unread} {} whose end of stream it has not read",
            noun(unread)
        ),
        _ => format!(
            "{} connections ({read} after reading the end of stream, {unread} without)",
            read + unread
        ),
    }
}

/// What the trace did not see.
pub(super) fn missed(trace: &Trace) -> Vec<String> {
    if trace.lost == 0 {
        return Vec::new();
    }
    vec![format!(
        "{} events were lost, because they came faster than they were read: what seems not to have happened may have",
        trace.lost
    )]
}

/// A time as people read it.
fn span(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    format!("{:.1} s", time.as_secs_f64())
}
