//! Tables of sockets copied from a terminal: `ss`, `netstat`, `lsof`, `/proc/net/tcp`, several
//! of them in one file, between prompts and other text.
//!
//! A line is recognised by itself, because headers are often cut off by `grep`. What begins like a
//! row and cannot be read is counted; every other line is passed over.

mod answer;
mod command;
mod endpoint;
mod find;
mod foreign;
mod groups;
mod kind;
mod ledger;
mod lsof;
mod markup;
mod merge;
mod net_tcp;
mod netstat;
mod place;
mod reader;
mod row;
mod services;
mod ss;
mod state;
mod table;

pub use answer::{NoTable, Part, Text};
pub use kind::{Fact, Kind, TableSummary};
pub use ledger::{Entry, TakenFor};
pub use markup::{decode, is_binary};

use reader::Reader;

/// Reads the tables in a text.
///
/// # Errors
///
/// When there is none.
pub fn parse_text(text: &str) -> Result<Text, NoTable> {
    let lines = markup::plain_lines(text);
    let mut reader = Reader::default();
    let mut number = 1;
    for line in &lines {
        reader.line(&line.text, number, line.parts);
        number += line.parts;
    }
    reader.finish().map_err(|unreadable| {
        let plain: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        match foreign::what(&plain) {
            Some(named) => named,
            None if unreadable == NoTable::Foreign && markup::is_json(text) => NoTable::Json,
            None => unreadable,
        }
    })
}

#[cfg(test)]
mod tests;
