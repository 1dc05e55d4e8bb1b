//! What every command is told besides its own arguments.

use anstream::ColorChoice;

/// What every command is told besides its own arguments.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) color: ColorChoice,
    pub(super) verbose: bool,
}
