//! Exit codes of the whole program.

use std::process::ExitCode;

/// What the program ends with.
///
/// The numbers are those of monitoring plugins. 1 (warning) and 2 (critical) belong to commands
/// that turn findings into an exit code; the others look, and end with 0 whatever they found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: it could look, whatever it found.
    Success,
    /// 3: it could not, or was asked for something it does not understand.
    CouldNotLook,
}

impl ExitStatus {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::CouldNotLook => 3,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        status.code().into()
    }
}
