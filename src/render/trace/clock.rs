//! The time of day of an event.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Turns the time since the trace began into the time of day, in UTC.
pub struct TraceClock {
    start: Option<Timestamp>,
}

impl TraceClock {
    /// A clock for a trace that began then (RFC 3339); where that cannot be read, times count from the beginning.
    pub fn new(started_at: &str) -> Self {
        Self {
            start: started_at.parse().ok(),
        }
    }

    /// Returns the time of day in milliseconds, such as `09:14:03.201`.
    pub(super) fn tell(&self, at: Duration) -> String {
        let since = SignedDuration::try_from(at).unwrap_or_default();
        match self.start.and_then(|start| start.checked_add(since).ok()) {
            Some(time) => time.strftime("%H:%M:%S%.3f").to_string(),
            None => format!("+{:.3}s", at.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_time_of_day() {
        let clock = TraceClock::new("2026-11-25T09:14:03.100Z");
        assert_eq!(clock.tell(Duration::from_millis(101)), "09:14:03.201");
        assert_eq!(
            TraceClock::new("?").tell(Duration::from_millis(1500)),
            "+1.500s"
        );
    }
}
