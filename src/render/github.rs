//! Workflow commands of GitHub Actions: an annotation for each problem.
//!
//! Every line is a command. The runner looks for commands of its older form (`##[..]`) anywhere in
//! a line that is not one, and a process may have such a name.

use std::io::{self, Write};

use super::escape::escape;
use super::line::status_word;
use super::problem::{Problem, in_short, problems};
use crate::report::{Check, Report, Status};

/// Writes the annotations, the worst first: GitHub shows ten of a kind.
///
/// # Errors
///
/// When the writer fails.
pub fn write_github(report: &Report, check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let problems = problems(report, check);
    for problem in &problems {
        write_problem(problem, out)?;
    }
    if problems.is_empty() {
        write_annotation(check.status, "", &[in_short(report)], out)?;
    }
    Ok(())
}

/// Writes the annotation of a check that could not look.
///
/// # Errors
///
/// When the writer fails.
pub fn write_failed_github(reason: &str, out: &mut dyn Write) -> io::Result<()> {
    write_annotation(Status::Unknown, "", &[reason.to_owned()], out)
}

fn write_problem(problem: &Problem, out: &mut dyn Write) -> io::Result<()> {
    let mut paragraphs = vec![problem.headline.clone()];
    paragraphs.extend_from_slice(&problem.details);
    write_annotation(problem.status, &problem.title, &paragraphs, out)
}

fn write_annotation(
    status: Status,
    about: &str,
    paragraphs: &[String],
    out: &mut dyn Write,
) -> io::Result<()> {
    let command = match status {
        Status::Critical => "error",
        Status::Warning | Status::Unknown => "warning",
        Status::Ok => "notice",
    };
    let title = format!("CLOSEWAIT {} {about}", status_word(status));
    let lines: Vec<_> = paragraphs.iter().map(|text| escape(text)).collect();
    writeln!(
        out,
        "::{command} title={}::{}",
        escape_property(&escape(title.trim_end())),
        escape_data(&lines.join("\n"))
    )
}

/// What a message may not hold.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// What a property may not hold.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_colons_and_a_property_does_not() {
        assert_eq!(escape_data("100%: a,\r\nb"), "100%25: a,%0D%0Ab");
        assert_eq!(escape_property("100%: a,\r\nb"), "100%25%3A a%2C%0D%0Ab");
    }

    #[test]
    fn a_name_that_is_a_command_stays_within_the_annotation() {
        let mut out = Vec::new();
        let name = "::error::\n##[set-output name=x]y".to_owned();
        write_annotation(
            Status::Critical,
            &name,
            std::slice::from_ref(&name),
            &mut out,
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(
            text.starts_with("::error title=CLOSEWAIT CRITICAL %3A%3Aerror"),
            "{text}"
        );
    }
}
