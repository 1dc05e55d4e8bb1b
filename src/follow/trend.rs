//! Where a number goes over many looks.

use std::collections::VecDeque;
use std::time::Duration;

/// How a finding goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trend {
    /// Seen for too short a time to tell.
    New,
    /// Its number stands still, or goes up and down.
    Steady,
    /// More and more, by so many connections a second.
    Growing(f64),
    /// Fewer and fewer, by so many connections a second.
    Shrinking(f64),
}

/// The time over which a direction is told: longer than the pauses of ordinary traffic.
const WINDOW: Duration = Duration::from_secs(30);

/// Two numbers are a difference; only from three on there is a direction.
const LEAST_SAMPLES: usize = 3;

/// The numbers of one finding at the last looks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Samples(VecDeque<(Duration, usize)>);

impl Samples {
    /// Takes the number of one more look, and forgets those before the window. At least as many stay as a direction
    /// takes.
    pub(super) fn add(&mut self, at: Duration, number: usize) {
        self.0.push_back((at, number));
        let old = |at_first: Duration| at.saturating_sub(at_first) > WINDOW;
        while self.0.len() > LEAST_SAMPLES && self.0.front().is_some_and(|(first, _)| old(*first)) {
            self.0.pop_front();
        }
    }

    /// Returns the number of the last look; 0 without one.
    pub(super) fn last(&self) -> usize {
        self.0.back().map_or(0, |(_, number)| *number)
    }

    /// Returns the direction: it has one where no step goes the other way.
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of connections are far below 2^52"
    )]
    pub(super) fn trend(&self) -> Trend {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return Trend::New;
        };
        let time = last.0.saturating_sub(first.0).as_secs_f64();
        if self.0.len() < LEAST_SAMPLES || time <= 0.0 {
            return Trend::New;
        }
        let numbers = || self.0.iter().map(|(_, number)| *number);
        let rate = (last.1 as f64 - first.1 as f64).abs() / time;
        if last.1 > first.1 && numbers().is_sorted() {
            Trend::Growing(rate)
        } else if last.1 < first.1 && numbers().is_sorted_by(|one, next| one >= next) {
            Trend::Shrinking(rate)
        } else {
            Trend::Steady
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(numbers: &[usize]) -> Trend {
        let mut samples = Samples::default();
        for (second, number) in (0..).zip(numbers) {
            samples.add(Duration::from_secs(second), *number);
        }
        samples.trend()
    }

    #[test]
    fn a_direction_takes_three_looks_and_no_step_back() {
        assert_eq!(trend(&[]), Trend::New);
        assert_eq!(trend(&[1, 4]), Trend::New);
        assert_eq!(trend(&[1, 4, 7]), Trend::Growing(3.0));
        assert_eq!(trend(&[7, 7, 1]), Trend::Shrinking(3.0));
        assert_eq!(trend(&[7, 7, 7]), Trend::Steady);
        assert_eq!(trend(&[1, 9, 5]), Trend::Steady);
    }

    #[test]
    fn what_is_before_the_window_is_forgotten() {
        let rising: Vec<usize> = (0..40).collect();
        let then_still = [rising, vec![40; 40]].concat();
        assert_eq!(trend(&then_still), Trend::Steady);
    }

    #[test]
    fn looks_that_are_far_apart_have_a_direction_too() {
        let mut samples = Samples::default();
        for minute in 0..4_u32 {
            samples.add(Duration::from_secs(60) * minute, 60 * minute as usize);
        }
        assert_eq!(samples.trend(), Trend::Growing(1.0));
    }
}
