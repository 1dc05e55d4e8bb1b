//! Exit codes of the whole program.

use std::process::ExitCode;

use crate::report::Status;

/// What the program ends with.
///
/// The numbers are those of monitoring plugins. 1 (warning) and 2 (critical) belong to `check` and
/// `scan --fail-on`, which turn findings into an exit code; everything else looks, and ends with 0
/// whatever it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: it could look, whatever it found; where findings count, there was nothing wrong.
    Success,
    /// 1: something is wrong; no client is affected yet.
    Warning,
    /// 2: clients are affected now. Never anything else, so usage errors are 3.
    Critical,
    /// 3: it could not look, or not tell whether something is wrong, or was asked for something it
    /// does not understand.
    CouldNotLook,
    /// 130: Ctrl-C ended the look; what was known by then is reported.
    Interrupted,
}

impl ExitStatus {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::CouldNotLook => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        status.code().into()
    }
}

impl From<Status> for ExitStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Success,
            Status::Warning => Self::Warning,
            Status::Critical => Self::Critical,
            Status::Unknown => Self::CouldNotLook,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_monitoring_plugins() {
        let statuses = [
            Status::Ok,
            Status::Warning,
            Status::Critical,
            Status::Unknown,
        ];
        let codes = statuses.map(|status| ExitStatus::from(status).code());
        assert_eq!(codes, [0, 1, 2, 3]);
        // As a shell counts a program that SIGINT has ended.
        assert_eq!(ExitStatus::Interrupted.code(), 128 + 2);
    }
}
