//! What became of the looks themselves.

use std::time::Duration;

/// What became of one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookOutcome {
    /// It saw what it wanted to see.
    Success,
    /// Its time was used up; it reports what it has.
    Cut,
    /// It could not be taken.
    Failed,
}

/// Counts looks, and remembers the last ones.
#[derive(Debug, Clone, PartialEq)]
pub struct LookTally {
    /// The time between the beginnings of two looks.
    pub interval: Duration,
    /// Looks that saw what they wanted to see.
    pub success: u64,
    /// Looks whose time was used up.
    pub cut: u64,
    /// Looks that could not be taken.
    pub failed: u64,
    /// How long the last look took; none before the first.
    pub last_took: Option<Duration>,
    /// When the last look began that could be taken, in seconds since 1970; none before the first.
    pub last_began: Option<f64>,
}

impl LookTally {
    /// Counts nothing yet.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            success: 0,
            cut: 0,
            failed: 0,
            last_took: None,
            last_began: None,
        }
    }

    /// Counts one look; `began` is in seconds since 1970.
    pub fn count(&mut self, outcome: LookOutcome, began: f64, took: Duration) {
        match outcome {
            LookOutcome::Success => self.success += 1,
            LookOutcome::Cut => self.cut += 1,
            LookOutcome::Failed => self.failed += 1,
        }
        self.last_took = Some(took);
        if outcome != LookOutcome::Failed {
            self.last_began = Some(began);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_failed_does_not_make_what_is_shown_younger() {
        let mut tally = LookTally::new(Duration::from_secs(15));
        tally.count(LookOutcome::Cut, 100.0, Duration::from_secs(10));
        tally.count(LookOutcome::Failed, 115.0, Duration::ZERO);
        assert_eq!((tally.cut, tally.failed), (1, 1));
        assert_eq!(tally.last_began, Some(100.0));
    }
}
