//! When the next look is due.

use std::time::Duration;

/// Looks begin at the beats of a clock that does not jump. A look that takes longer than the interval skips the beats
/// it has missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    interval: Duration,
    last: Duration,
}

impl Schedule {
    /// The first look is due at once; `interval` is longer than zero.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Duration::ZERO,
        }
    }

    /// Returns how long to wait for the next beat, and goes on to it. `now` is the time since the first look began.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let since = now.saturating_sub(self.last);
        let beats = since.as_nanos() / self.interval.as_nanos().max(1) + 1;
        let beats = u32::try_from(beats).unwrap_or(u32::MAX);
        self.last += self.interval.saturating_mul(beats);
        self.last.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn looks_keep_their_beat_however_long_they_take() {
        let mut schedule = Schedule::new(ms(1000));
        assert_eq!(schedule.wait(ms(300)), ms(700));
        assert_eq!(schedule.wait(ms(1400)), ms(600));
    }

    #[test]
    fn a_look_that_takes_longer_skips_what_it_has_missed() {
        let mut schedule = Schedule::new(ms(1000));
        assert_eq!(schedule.wait(ms(3200)), ms(800));
        assert_eq!(schedule.wait(ms(4000)), ms(1000));
    }
}
