//! What a trace proves, for programs: the last line of its JSON lines.

use std::io::{self, Write};

use serde::Serialize;

use super::conclusion::{missed, seen, so};
use crate::correlate::tracing::{AcceptRecord, AcceptVerdict, Conclusion};
use crate::model::{Pid, Trace};

#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    has_fault: bool,
    is_whole: bool,
    acceptors: Vec<Acceptor<'a>>,
    arrived: usize,
    accepted: usize,
    waiting: usize,
    waiting_closed: usize,
    lost_in_queue: usize,
    left_open: Vec<LeftOpen<'a>>,
    seen: Vec<String>,
    so: Vec<String>,
    missed: Vec<String>,
}

#[derive(Serialize)]
struct Acceptor<'a> {
    pid: Pid,
    tid: Pid,
    command: &'a str,
    listener: String,
    listener_fd: u32,
    verdict: &'static str,
    edge_triggered: Option<bool>,
    accepted: u32,
    rounds: u32,
    drained: u32,
    stopped: u32,
    left_in_queue: u32,
    slept_ms: u64,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    errno: i32,
    times: u32,
}

#[derive(Serialize)]
struct LeftOpen<'a> {
    pid: Pid,
    command: &'a str,
    after_end_read: usize,
    end_unread: usize,
    oldest_ms: u64,
}

/// Writes the conclusion as one line of JSON.
///
/// # Errors
///
/// When the writer fails.
pub fn write_conclusion_json(
    trace: &Trace,
    conclusion: &Conclusion,
    out: &mut dyn Write,
) -> io::Result<()> {
    let fates = &conclusion.fates;
    let line = Line {
        r#type: "conclusion",
        has_fault: conclusion.has_fault(),
        is_whole: conclusion.is_whole,
        acceptors: conclusion.acceptors.iter().map(acceptor).collect(),
        arrived: fates.arrived,
        accepted: fates.accepted_by.values().sum(),
        waiting: fates.waiting,
        waiting_closed: fates.waiting_closed,
        lost_in_queue: fates.lost_in_queue,
        left_open: fates
            .left_open
            .iter()
            .map(|(pid, left)| LeftOpen {
                pid: *pid,
                command: &left.command,
                after_end_read: left.after_end_read,
                end_unread: left.end_unread,
                oldest_ms: millis(left.oldest),
            })
            .collect(),
        seen: seen(trace, conclusion),
        so: so(trace, conclusion),
        missed: missed(trace),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

fn acceptor((record, verdict): &(AcceptRecord, AcceptVerdict)) -> Acceptor<'_> {
    let (name, edge_triggered) = match verdict {
        AcceptVerdict::StopsBeforeEagain { edge_triggered } => {
            ("stops-before-eagain", *edge_triggered)
        }
        AcceptVerdict::NeverAccepts => ("never-accepts", None),
        AcceptVerdict::Fails { .. } => ("accept-fails", None),
        AcceptVerdict::LeavesRest => ("leaves-rest-to-next-wake-up", None),
        AcceptVerdict::Serves => ("serves", None),
    };
    let failures = record.failures.iter();
    Acceptor {
        pid: record.thread.pid,
        tid: record.thread.tid,
        command: &record.thread.command,
        listener: record.listener.to_string(),
        listener_fd: record.listener_fd,
        verdict: name,
        edge_triggered,
        accepted: record.accepted,
        rounds: record.rounds,
        drained: record.drained,
        stopped: record.stopped,
        left_in_queue: record.left,
        slept_ms: millis(record.slept),
        failures: failures
            .map(|(errno, times)| Failure {
                errno: *errno,
                times: *times,
            })
            .collect(),
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
