//! Lines, paragraphs and commands on a terminal.

use std::io::{self, Write};

use anstyle::Style;

use super::cells::TableOptions;
use super::escape::escape;
use super::layout::wrap;

/// Labels of a finding's block stand in a column of this width.
const LABEL_WIDTH: usize = 6;
/// Set before each line of a paragraph but the first.
const HANGING: &str = "  ";

/// A word that is coloured, and a sentence.
pub(super) struct Line {
    pub(super) style: Style,
    pub(super) word: &'static str,
    pub(super) text: String,
}

/// A coloured word and a sentence, which goes on below the word.
pub(super) fn write_line(
    line: &Line,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Line { style, word, text } = line;
    let before = word.len() + HANGING.len();
    for (number, part) in wrap(text, options.width, before).iter().enumerate() {
        if number == 0 {
            writeln!(out, "{style}{word}{style:#}  {part}")?;
        } else {
            writeln!(out, "{:before$}{part}", "")?;
        }
    }
    Ok(())
}

/// Writes paragraphs beside a label that stands once.
pub(super) fn write_text<'t>(
    label: &str,
    paragraphs: impl IntoIterator<Item = &'t String>,
    options: TableOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let indent = HANGING.len() + LABEL_WIDTH;
    let mut label = label;
    for paragraph in paragraphs {
        let lines = wrap(&escape(paragraph), options.width, indent + HANGING.len());
        for (number, line) in lines.iter().enumerate() {
            // What a paragraph goes on with is set in, to tell it from the next paragraph.
            let hanging = if number == 0 { "" } else { HANGING };
            writeln!(out, "  {label:LABEL_WIDTH$}{hanging}{line}")?;
            label = "";
        }
    }
    Ok(())
}

/// Writes commands, whole and each on its own line. What they are made of is harmless already.
pub(super) fn write_commands(
    label: &str,
    commands: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    let set_in = if label.is_empty() { HANGING } else { "" };
    let mut label = label;
    for command in commands {
        writeln!(out, "  {label:LABEL_WIDTH$}{set_in}{command}")?;
        label = "";
    }
    Ok(())
}
