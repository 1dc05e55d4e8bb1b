//! Takes a look.

use super::error::LookError;
use super::everywhere;
use super::looker::{Looker, Progress};
use super::options::LookOptions;
use super::search::Search;
use super::seen::Look;
use super::session::Session;
use crate::collect::kernel::Kernel;
use crate::model::{Namespace, Snapshot};

/// Takes one look, at one network namespace or at all that can be reached.
///
/// # Errors
///
/// When no socket can be read at all, or a process or a namespace that was named is not there.
pub fn take(kernel: &mut dyn Kernel, options: &LookOptions) -> Result<Look, LookError> {
    let recorded = kernel.is_recorded();
    let mut session = Session::begin(kernel, &options.scope, options.timeout + options.observe)?;
    let snapshots = if options.scope.all_netns {
        everywhere::look(session.kernel(), options)?
    } else {
        vec![here(session.kernel(), options)?]
    };
    session.end().map_err(LookError::NotBack)?;
    let scope = options.scope.clone();
    Ok(Look::new(scope, recorded, snapshots, options.grace))
}

/// Looks at the namespace that the kernel is in.
fn here(kernel: &mut dyn Kernel, options: &LookOptions) -> Result<Snapshot, LookError> {
    let namespace = Namespace::named(options.scope.netns_name());
    let mut looker = Looker::new(kernel, options, Progress::default());
    for pid in &options.scope.pids {
        looker.expect_process(*pid)?;
    }
    let (snapshot, seen) = looker.first_phase(namespace)?;
    let Some(wanted) = looker.wanted(&snapshot, &seen) else {
        return Ok(looker.further_phases(snapshot, seen, None));
    };
    let tables = looker.descriptor_tables(&wanted);
    let search = Search {
        wanted: &wanted,
        tables: &tables,
    };
    Ok(looker.further_phases(snapshot, seen, Some(search)))
}
