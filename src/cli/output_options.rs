//! The options about output, which every command has.

use anstream::ColorChoice;

/// The options about output, which every command has.
#[derive(Clone, Copy)]
pub(super) struct OutputOptions {
    pub(super) color: ColorChoice,
    pub(super) verbose: bool,
}
