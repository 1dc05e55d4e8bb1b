//! The options about output, which every command has.

use anstream::ColorChoice;

/// The options about output, which every command has.
#[derive(Clone, Copy)]
pub(super) struct OutputOptions {
    pub(super) color: ColorChoice,
    /// How much is said.
    pub(super) detail: Detail,
    /// Whether lines are as long as they come, on a terminal too.
    pub(super) wide: bool,
    /// Whether JSON was asked for, whatever `--format` says.
    pub(super) json: bool,
}

impl OutputOptions {
    /// Whether everything is shown.
    pub(super) fn verbose(self) -> bool {
        self.detail == Detail::Full
    }
}

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// The first line.
    FirstLine,
    /// What a person needs first.
    Usual,
    /// Everything.
    Full,
}
