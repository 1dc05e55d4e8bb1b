//! Which recording or text a look stands for.

use crate::collect::kernel::Header;
use crate::collect::text::{Entry, Text};
use crate::report::{Lines, Origin, OriginKind, Span};

/// What the header of a recording says.
pub fn origin_of_recording(header: &Header) -> Origin {
    Origin {
        kind: OriginKind::Recording(header.tool_version.clone()),
        host: Some(header.host.hostname.clone()),
        taken_at: Some(header.taken_at.clone()),
        lines: None,
    }
}

/// What a text says of itself. It does not say when it was copied.
pub fn origin_of_text(text: &Text) -> Origin {
    let mut tools: Vec<&'static str> = Vec::new();
    for table in text.parts.iter().flat_map(|part| &part.tables) {
        if !tools.contains(&table.kind.name()) {
            tools.push(table.kind.name());
        }
    }
    let host = match &text.parts[..] {
        [only] => only.name.clone(),
        _ => None,
    };
    Origin {
        kind: OriginKind::Text(tools),
        host,
        taken_at: None,
        lines: Some(lines(&text.ledger)),
    }
}

fn lines(ledger: &[Entry]) -> Lines {
    let mut lines = Lines::default();
    for entry in ledger {
        if entry.taken_for.is_used() {
            lines.used += entry.lines;
        } else {
            lines.unused += entry.lines;
        }
        // Of several rows on one line the first stands for the line.
        let last = (entry.line + entry.lines).saturating_sub(1);
        let taken_for = entry.taken_for.name();
        match lines.spans.last_mut() {
            Some(span) if span.taken_for == taken_for => span.last = last,
            _ => lines.spans.push(Span {
                first: entry.line.min(last),
                last,
                taken_for,
            }),
        }
    }
    lines
}
