//! Not knowing is a value.

use std::fmt;

/// Something that was asked of the kernel: known, or unknown for a stated reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading<T> {
    /// The kernel answered.
    Known(T),
    /// It is missing, for this reason.
    Unknown(Gap),
}

/// Why a reading is missing, by what the reader can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// The kernel refused: a privilege is missing.
    NotPermitted,
    /// This kernel, or this source, does not offer the fact.
    NotSupported,
    /// The process ended while it was looked at. Not an error.
    Vanished,
    /// The kernel's answer did not have the documented form.
    Malformed,
    /// The recording does not hold the answer.
    NotRecorded,
    /// It was not looked at, because nothing about it was suspicious.
    NotLookedAt,
    /// The text that was pasted does not show it.
    NotShown,
    /// It is cut off, or changed while it was read.
    CutOff,
    /// The look had no time, or no room, left for it.
    BudgetUsedUp,
    /// No answer came in time.
    NoAnswer,
    /// Reading failed for another reason.
    Failed,
}

impl<T> Reading<T> {
    /// Borrows the value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Returns why the value is missing, if it is.
    pub fn gap(&self) -> Option<Gap> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(gap) => Some(*gap),
        }
    }

    /// Borrows, so that a part of the value can be taken out with [`Reading::map`].
    pub fn as_ref(&self) -> Reading<&T> {
        match self {
            Self::Known(value) => Reading::Known(value),
            Self::Unknown(gap) => Reading::Unknown(*gap),
        }
    }

    /// Converts a known value and keeps the reason of an unknown one.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(convert(value)),
            Self::Unknown(gap) => Reading::Unknown(gap),
        }
    }
}

impl<T: Copy> Reading<T> {
    /// Copies the value out, where it is known.
    pub fn copied(&self) -> Option<T> {
        self.known().copied()
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPermitted => "not permitted",
            Self::NotSupported => "not supported by this kernel or source",
            Self::Vanished => "the process ended meanwhile",
            Self::Malformed => "the answer was malformed",
            Self::NotRecorded => "not in the recording",
            Self::NotLookedAt => "not looked at",
            Self::NotShown => "the text does not show it",
            Self::CutOff => "it was cut off, or changed while it was read",
            Self::BudgetUsedUp => "there is more of it than a look reads",
            Self::NoAnswer => "no answer came in time: another process or a dead mount blocks it",
            Self::Failed => "reading failed",
        })
    }
}
