//! Where a report that was not taken from the running kernel comes from.

use std::fmt;

/// A recording or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What it is.
    pub kind: OriginKind,
    /// The host that it shows, where that is known.
    pub host: Option<String>,
    /// When it was taken (RFC 3339, UTC), where that is known.
    pub taken_at: Option<String>,
    /// What became of the lines of a text.
    pub lines: Option<Lines>,
}

/// What was read instead of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginKind {
    /// A recording, by the version of the program that made it.
    Recording(String),
    /// A text with tables that these tools print.
    Text(Vec<&'static str>),
}

/// What became of the lines of a text; empty ones are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// Lines that are part of what is reported.
    pub used: usize,
    /// Lines that are not.
    pub unused: usize,
    /// What each was taken for.
    pub spans: Vec<Span>,
}

/// Consecutive lines that were taken for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The first, counted from 1.
    pub first: usize,
    /// The last.
    pub last: usize,
    /// What they were taken for.
    pub taken_for: &'static str,
}

/// One line: `from a text of web-1 (ss, netstat): 14 lines used, 2 not`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.kind {
            OriginKind::Recording(_) => "recording",
            OriginKind::Text(_) => "text",
        };
        write!(f, "from a {what}")?;
        if let Some(host) = self.host.as_ref().filter(|host| !host.is_empty()) {
            write!(f, " of {host}")?;
        }
        match &self.kind {
            OriginKind::Recording(version) => write!(f, ", made by version {version}")?,
            OriginKind::Text(tools) => write!(f, " ({})", tools.join(", "))?,
        }
        if let Some(taken_at) = &self.taken_at {
            write!(f, ", taken {taken_at}")?;
        }
        if let Some(Lines { used, unused, .. }) = &self.lines {
            write!(f, ": {used} lines used, {unused} not")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known_and_no_more() {
        let mut origin = Origin {
            kind: OriginKind::Text(vec!["ss", "netstat"]),
            host: None,
            taken_at: None,
            lines: Some(Lines {
                used: 14,
                unused: 2,
                spans: Vec::new(),
            }),
        };
        assert_eq!(
            origin.to_string(),
            "from a text (ss, netstat): 14 lines used, 2 not"
        );
        origin = Origin {
            kind: OriginKind::Recording("0.1.0".to_owned()),
            host: Some("web-1".to_owned()),
            taken_at: Some("2026-01-05T10:11:12Z".to_owned()),
            lines: None,
        };
        assert_eq!(
            origin.to_string(),
            "from a recording of web-1, made by version 0.1.0, taken 2026-01-05T10:11:12Z"
        );
    }
}
