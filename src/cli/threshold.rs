//! Thresholds as a user writes them.

use std::time::Duration;

use super::options::parse_duration_with_unit;
use crate::report::{Metric, Threshold};

/// Reads `metric=value`. Every complaint names the metric.
pub(super) fn parse_threshold(text: &str) -> Result<Threshold, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("`{text}` is not METRIC=VALUE, such as {EXAMPLES}"));
    };
    let (metric, limit) = match name {
        "close-wait" => (Metric::CloseWait, parse_connections(value)),
        "queue" => match value.strip_suffix('%') {
            Some(percent) => (Metric::QueueFill, parse_percent(percent)),
            None => (Metric::QueueLength, parse_connections(value)),
        },
        "accepted-close-wait" => (Metric::AcceptedCloseWait, parse_connections(value)),
        "age" => (
            Metric::Age,
            parse_duration_with_unit(value).and_then(millis),
        ),
        _ => {
            return Err(format!(
                "there is no metric `{name}`; there are close-wait, queue, age and accepted-close-wait, such as {EXAMPLES}"
            ));
        }
    };
    match limit {
        Ok(limit) => Ok(Threshold { metric, limit }),
        Err(complaint) => Err(format!("{name}: `{value}` is {complaint}")),
    }
}

const EXAMPLES: &str = "close-wait=100, queue=80%, queue=50 or age=60s";

fn parse_connections(text: &str) -> Result<u64, String> {
    match text.parse::<u32>() {
        Ok(number) => Ok(number.into()),
        Err(_) => Err("not a number of connections".to_owned()),
    }
}

fn parse_percent(text: &str) -> Result<u64, String> {
    match text.parse::<u8>() {
        Ok(percent) if percent <= 100 => Ok(percent.into()),
        _ => Err("not a whole percentage from 0% to 100%".to_owned()),
    }
}

fn millis(time: Duration) -> Result<u64, String> {
    u64::try_from(time.as_millis()).map_err(|_| "longer than anything lasts".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_read_in_the_unit_of_its_metric() {
        for (text, metric, limit) in [
            ("close-wait=100", Metric::CloseWait, 100),
            ("close-wait=0", Metric::CloseWait, 0),
            ("queue=50", Metric::QueueLength, 50),
            ("accepted-close-wait=9", Metric::AcceptedCloseWait, 9),
            ("queue=80%", Metric::QueueFill, 80),
            ("queue=100%", Metric::QueueFill, 100),
            ("age=60s", Metric::Age, 60_000),
            ("age=1m30s", Metric::Age, 90_000),
            ("age=300ms", Metric::Age, 300),
        ] {
            assert_eq!(
                parse_threshold(text),
                Ok(Threshold { metric, limit }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_threshold_is_refused_by_the_name_of_its_metric() {
        for (text, named) in [
            ("close-wait=", "close-wait"),
            ("close-wait=many", "close-wait"),
            ("close-wait=-1", "close-wait"),
            ("close-wait=10%", "close-wait"),
            ("close-wait=1.5", "close-wait"),
            ("queue=101%", "queue"),
            ("queue=%", "queue"),
            ("queue=80 %", "queue"),
            ("age=60", "age"),
            ("age=-3s", "age"),
            ("age=80%", "age"),
            ("connections=3", "connections"),
            ("=3", "``"),
            ("close-wait", "close-wait"),
            ("", "METRIC=VALUE"),
        ] {
            let complaint = parse_threshold(text).unwrap_err();
            assert!(complaint.contains(named), "{text}: {complaint}");
        }
    }
}
