//! JUnit XML: a failed test case for each finding, one for each threshold, and one for what had to
//! be seen.
//!
//! Written by hand: the shape is fixed, and there are but a few characters to escape.

use std::io::{self, Write};

use super::escape::escape;
use super::line::{label, status_word};
use super::problem::{Kind, Problem, in_short, problems};
use crate::report::{Check, Report, Status};

/// Every case has this class, so that CI shows them together.
const CLASS: &str = "closewait-doctor.check";
/// The case that is always there: a document without cases counts as broken in some systems.
const SEEN: &str = "all that matters could be seen";
const FAILURE: &str = "failure";
const ERROR: &str = "error";

/// A test case; it passed where it has no problems.
struct Case<'p> {
    name: String,
    problems: Vec<&'p Problem>,
}

/// Writes the document.
///
/// # Errors
///
/// When the writer fails.
pub fn write_junit(report: &Report, check: &Check, out: &mut dyn Write) -> io::Result<()> {
    let problems = problems(report, check);
    let suite = format!(
        " hostname=\"{}\" timestamp=\"{}\" time=\"{}.{:03}\"",
        escape_xml(&report.host.hostname),
        escape_xml(&report.taken_at),
        report.elapsed.as_secs(),
        report.elapsed.subsec_millis()
    );
    write_document(&suite, &cases(check, &problems), &in_short(report), out)
}

/// Writes the document of a check that could not look.
///
/// # Errors
///
/// When the writer fails.
pub fn write_failed_junit(reason: &str, out: &mut dyn Write) -> io::Result<()> {
    let problem = Problem {
        kind: Kind::BlindSpot,
        status: Status::Unknown,
        name: SEEN.to_owned(),
        title: "could not look".to_owned(),
        headline: reason.to_owned(),
        details: Vec::new(),
    };
    let case = Case {
        name: SEEN.to_owned(),
        problems: vec![&problem],
    };
    write_document("", &[case], "", out)
}

fn cases<'p>(check: &Check, problems: &'p [Problem]) -> Vec<Case<'p>> {
    let of = |kind: Kind| problems.iter().filter(move |problem| problem.kind == kind);
    let mut cases = vec![Case {
        name: SEEN.to_owned(),
        problems: of(Kind::Absent).chain(of(Kind::BlindSpot)).collect(),
    }];
    cases.extend(check.judged().map(|evaluation| Case {
        name: format!("threshold {}", label(evaluation.metric)),
        problems: of(Kind::Threshold(evaluation.metric)).collect(),
    }));
    cases.extend(of(Kind::Finding).map(|problem| Case {
        name: problem.name.clone(),
        problems: vec![problem],
    }));
    cases
}

fn write_document(
    suite: &str,
    cases: &[Case],
    output: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let bad = cases.iter().filter_map(Case::element);
    let errors = bad.clone().filter(|element| *element == ERROR).count();
    let counts = format!(
        "name=\"closewait-doctor\" tests=\"{}\" failures=\"{}\" errors=\"{errors}\"",
        cases.len(),
        bad.count() - errors
    );
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites {counts}>")?;
    writeln!(out, "  <testsuite {counts} skipped=\"0\"{suite}>")?;
    for case in cases {
        write_case(case, out)?;
    }
    writeln!(out, "    <system-out>{}</system-out>", escape_xml(output))?;
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn write_case(case: &Case, out: &mut dyn Write) -> io::Result<()> {
    let name = escape_xml(&case.name);
    write!(out, "    <testcase classname=\"{CLASS}\" name=\"{name}\"")?;
    let Some(element) = case.element() else {
        return writeln!(out, "/>");
    };
    let status = case.status().map_or("", status_word);
    let sentences: Vec<String> = case.problems.iter().map(|p| p.sentence()).collect();
    let message = escape_xml(&sentences.join("; "));
    writeln!(out, ">")?;
    write!(
        out,
        "      <{element} type=\"{status}\" message=\"{message}\">"
    )?;
    for detail in case.problems.iter().flat_map(|problem| &problem.details) {
        writeln!(out, "{}", escape_xml(detail))?;
    }
    writeln!(out, "</{element}>\n    </testcase>")
}

impl Case<'_> {
    fn status(&self) -> Option<Status> {
        self.problems.iter().map(|problem| problem.status).max()
    }

    /// What is in the case: a failure is bad news, an error could not be judged.
    fn element(&self) -> Option<&'static str> {
        match self.status()? {
            Status::Critical | Status::Warning => Some(FAILURE),
            Status::Unknown => Some(ERROR),
            Status::Ok => None,
        }
    }
}

/// Text for an element or an attribute. XML 1.0 has no way at all to write most control
/// characters and the two noncharacters, so these are spelled out.
fn escape_xml(text: &str) -> String {
    escape(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\u{fffe}', "\\u{fffe}")
        .replace('\u{ffff}', "\\u{ffff}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `Char` of XML 1.0, without the line breaks that [`escape`] has spelled out.
    fn is_char(character: char) -> bool {
        matches!(character, '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    }

    #[test]
    fn what_xml_cannot_hold_is_spelled_out() {
        let text = escape_xml("<a b=\"c\">&amp;\x1b\0\u{ffff}\n");
        assert_eq!(
            text,
            "&lt;a b=&quot;c&quot;&gt;&amp;amp;\\u{1b}\\u{0}\\u{ffff}\\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_fits_into_xml(text in any::<String>()) {
            let escaped = escape_xml(&text);
            prop_assert!(escaped.chars().all(is_char));
            prop_assert!(!escaped.contains(['<', '>', '"']));
        }
    }

    #[test]
    fn a_check_that_could_not_look_is_one_error() {
        let mut out = Vec::new();
        write_failed_junit("opening <file>", &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("tests=\"1\" failures=\"0\" errors=\"1\""),
            "{text}"
        );
        assert!(
            text.contains("message=\"could not look: opening &lt;file&gt;\""),
            "{text}"
        );
    }
}
