//! The table of listeners and their accept queues.

use std::io::{self, Write};

use super::cells::{TableOptions, address, duration, owners};
use super::grid::{Column, Row, write_grid};
use crate::correlate::Ledger;
use crate::model::Reading;
use crate::report::{ListenerRow, Report};

const COLUMNS: [Column; 9] = [
    Column::left("LISTENER", 0),
    Column::right("QUEUE", 0),
    Column::right("CLOSE_WAIT", 5),
    Column::right("ESTAB", 5),
    Column::right("RESET", 4),
    Column::right("OLDEST", 1),
    Column::left("ACCEPTED", 2),
    Column::left("OWNER", 3),
    Column::left("WATCHED BY", 6),
];

pub(super) fn write_listeners(
    report: &Report,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let shown = |row: &&ListenerRow| options.is_full() || is_of_interest(report, row);
    let rows = report.listeners.iter().filter(shown);
    let rows: Vec<Row> = rows.map(|row| Row::Cells(cells(report, row))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    write_grid(&COLUMNS, &rows, options.width, out)
}

fn cells(report: &Report, row: &ListenerRow) -> Vec<String> {
    let number = |number: Option<u32>| number.map_or("?".to_owned(), |n| n.to_string());
    let limit = match &row.listener.accept_queue_limit {
        Reading::Known(limit) => limit.to_string(),
        Reading::Unknown(_) => "?".to_owned(),
    };
    let length = row.listener.queue_is_shown.then_some(row.queue.length);
    vec![
        address(report, &row.netns, row.listener.local),
        format!("{} / {limit}", number(length)),
        number(row.queue.close_wait),
        number(row.queue.established),
        number(row.queue.reset),
        row.queue.oldest.map_or("-".to_owned(), duration),
        accepted(row.accepted),
        owners(report, &row.owners),
        watchers(row),
    ]
}

/// `12 CLOSE_WAIT of 40`, as far as it is known.
fn accepted(ledger: Option<Ledger>) -> String {
    let Some(ledger) = ledger else {
        return "?".to_owned();
    };
    match (ledger.close_wait, ledger.total) {
        (0, None) => "-".to_owned(),
        (0, Some(total)) => total.to_string(),
        (closed, None) => format!("{closed} CLOSE_WAIT"),
        (closed, Some(total)) => format!("{closed} CLOSE_WAIT of {total}"),
    }
}

/// Returns whether a listener is shown: connections wait at it, or connections of it are shown.
fn is_of_interest(report: &Report, row: &ListenerRow) -> bool {
    let has_closed = |ledger: Ledger| ledger.close_wait > 0;
    row.queue.length > 0
        || row.accepted.is_some_and(has_closed)
        || report.findings.iter().any(|finding| {
            finding.subject.local == Some(row.listener.local) && finding.subject.netns == row.netns
        })
}

fn watchers(row: &ListenerRow) -> String {
    const SHOWN: usize = 2;
    let mut names: Vec<String> = row
        .watchers
        .iter()
        .take(SHOWN)
        .map(|(pid, watch)| {
            let mode = if watch.edge_triggered {
                "edge"
            } else {
                "level"
            };
            let whose = if row.owners.iter().any(|owner| owner.pid != *pid) {
                format!("[{pid}] ")
            } else {
                String::new()
            };
            format!("{whose}epoll fd {}, {mode}", watch.epoll_fd)
        })
        .collect();
    if row.watchers.len() > SHOWN {
        names.push(format!("and {} more", row.watchers.len() - SHOWN));
    }
    if names.is_empty() {
        return "-".to_owned();
    }
    names.join("; ")
}
