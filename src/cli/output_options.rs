//! The options about output, which every command has.

use anstream::ColorChoice;

use crate::render::Detail;

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
