//! A metric with its values, and how it is written.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::catalog::{Kind, Metric};
use crate::render::escape::escape;

/// A text format of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// The text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// Returns its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Returns what the last line of a page is.
    pub fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }
}

/// A metric with its values.
#[derive(Debug)]
pub(super) struct Family {
    metric: &'static Metric,
    /// By the values of the labels.
    samples: BTreeMap<Vec<String>, f64>,
}

/// The longest value of a label, in characters: names that processes give themselves have no end.
const LONGEST_LABEL: usize = 120;

impl Family {
    pub(super) fn new(metric: &'static Metric) -> Self {
        Self {
            metric,
            samples: BTreeMap::new(),
        }
    }

    pub(super) fn single(metric: &'static Metric, value: f64) -> Self {
        let mut family = Self::new(metric);
        family.add(&[], value);
        family
    }

    /// Adds a value; the labels are in the order of the metric's. Values with the same labels are summed: a page with
    /// one series twice is refused as a whole.
    pub(super) fn add(&mut self, labels: &[&str], value: f64) {
        debug_assert_eq!(labels.len(), self.metric.labels.len());
        let labels = labels.iter().map(|label| label_value(label)).collect();
        *self.samples.entry(labels).or_default() += value;
    }

    #[cfg(test)]
    pub(super) fn series(&self) -> usize {
        self.samples.len()
    }

    /// Writes it; a metric without values is not written.
    pub(super) fn write(&self, exposition: Exposition, out: &mut dyn Write) -> io::Result<()> {
        if self.samples.is_empty() {
            return Ok(());
        }
        let full = self.metric.full_name();
        let family = match exposition {
            Exposition::Text => full.as_str(),
            Exposition::OpenMetrics => full.trim_end_matches("_total"),
        };
        let kind = match self.metric.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        writeln!(out, "# HELP {family} {}", self.metric.help)?;
        writeln!(out, "# TYPE {family} {kind}")?;
        for (labels, value) in &self.samples {
            out.write_all(full.as_bytes())?;
            self.write_labels(labels, out)?;
            writeln!(out, " {value}")?;
        }
        Ok(())
    }

    fn write_labels(&self, values: &[String], out: &mut dyn Write) -> io::Result<()> {
        let labels = self.metric.labels.iter().zip(values);
        let pairs: Vec<String> = labels
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        if pairs.is_empty() {
            return Ok(());
        }
        write!(out, "{{{}}}", pairs.join(","))
    }
}

/// A value as it stands between the quotes of a label: harmless for terminals, too, and of bounded length.
fn label_value(text: &str) -> String {
    let harmless = escape(text);
    let short: String = harmless.chars().take(LONGEST_LABEL).collect();
    short.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{BUILD_INFO, LOOKS};
    use super::*;
    use proptest::prelude::*;

    fn written(family: &Family, exposition: Exposition) -> String {
        let mut out = Vec::new();
        family.write(exposition, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_counter_has_its_suffix_where_each_format_wants_it() {
        let mut looks = Family::new(&LOOKS);
        looks.add(&["success"], 3.0);
        let text = written(&looks, Exposition::Text);
        assert!(text.contains("# TYPE closewait_doctor_looks_total counter\n"));
        assert!(text.ends_with("closewait_doctor_looks_total{outcome=\"success\"} 3\n"));
        let open = written(&looks, Exposition::OpenMetrics);
        assert!(open.contains("# TYPE closewait_doctor_looks counter\n"));
        assert!(open.ends_with("closewait_doctor_looks_total{outcome=\"success\"} 3\n"));
    }

    #[test]
    fn a_metric_without_values_is_not_written() {
        assert_eq!(written(&Family::new(&LOOKS), Exposition::Text), "");
    }

    #[test]
    fn a_name_cannot_leave_its_label() {
        assert_eq!(label_value("a\"} 1\n\\"), "a\\\"} 1\\\\n\\\\");
    }

    proptest! {
        #[test]
        fn whatever_a_process_calls_itself_is_one_line_of_one_label(name in any::<String>()) {
            let mut family = Family::new(&BUILD_INFO);
            family.add(&[&name], 1.0);
            let text = written(&family, Exposition::Text);
            prop_assert_eq!(text.lines().count(), 3);
            let value = label_value(&name);
            let bare = value.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!bare.contains(['"', '\\', '\n']));
        }
    }
}
