//! The search for owners.

use crate::collect::kernel::{DescriptorTables, KernelError};
use crate::model::InodeSet;

/// What is looked for in the descriptor tables, and what was found.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    /// The sockets whose holders are to be found.
    pub wanted: &'a InodeSet,
    /// The tables; of all network namespaces, if several are looked at.
    pub tables: &'a Result<DescriptorTables, KernelError>,
}
