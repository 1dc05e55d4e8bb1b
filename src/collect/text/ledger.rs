//! What every line of a text was taken for.

/// What a line was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenFor {
    /// A row, or a part of one, or details of one.
    Row,
    /// The names of columns, a headline, or the command above a table.
    Heading,
    /// A row about another protocol.
    OtherProtocol,
    /// It begins like a row and cannot be read.
    Unread,
    /// Words around the tables.
    Words,
}

impl TakenFor {
    /// Whether what the line says is part of the report.
    pub fn is_used(self) -> bool {
        matches!(self, Self::Row | Self::Heading)
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Row => "rows",
            Self::Heading => "command or heading",
            Self::OtherProtocol => "other protocols",
            Self::Unread => "like rows, not read",
            Self::Words => "words",
        }
    }
}

/// A line, or several that are one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The number of the first line, from 1.
    pub line: usize,
    /// How many lines; 0 for a row behind another on the same line.
    pub lines: usize,
    /// What they were taken for.
    pub taken_for: TakenFor,
}
