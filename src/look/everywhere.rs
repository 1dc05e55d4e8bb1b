//! A look into every network namespace that can be reached: sockets of all first, then one pass
//! over the descriptors of all processes, then each namespace to its end.

use anyhow::{Context, Result, bail};

use super::blind_spots;
use super::{Looker, Plan, Progress, Search};
use crate::collect::kernel::{FoundNamespace, Kernel};
use crate::collect::proc;
use crate::correlate::Triage;
use crate::model::{BlindSpot, InodeSet, Namespace, Origin, Scope, Snapshot};

/// A namespace whose sockets were read.
struct UnderWay {
    path: String,
    snapshot: Snapshot,
    seen: Triage,
    /// The sockets whose holders are to be found, if any are.
    wanted: Option<InodeSet>,
    progress: Progress,
}

/// Looks everywhere. One namespace that cannot be entered is a blind spot, and the next is read.
pub(super) fn look(kernel: &mut dyn Kernel, scope: &Scope, plan: &Plan) -> Result<Vec<Snapshot>> {
    let found = kernel
        .namespaces()
        .context("looking for network namespaces")?;
    let mut under_way = Vec::new();
    let mut refused = Vec::new();
    let mut wanted = InodeSet::default();
    for (index, namespace) in found.into_iter().enumerate() {
        let named = name(kernel, &namespace, index == 0);
        match first(kernel, scope, plan, &namespace.path, named.clone()) {
            Ok(one) => {
                wanted.extend(one.wanted.iter().flatten());
                under_way.push(one);
            }
            Err(error) => refused.push(blind_spots::refused_namespace(&named.name, &error)),
        }
    }
    let any_wanted = under_way.iter().any(|one| one.wanted.is_some());
    let tables = any_wanted.then(|| kernel.descriptor_tables(&wanted));
    let mut snapshots = Vec::new();
    for one in under_way {
        let UnderWay {
            path,
            snapshot,
            seen,
            wanted,
            progress,
        } = one;
        if let Err(error) = kernel.enter(&path) {
            let spot = blind_spots::refused_namespace(&snapshot.namespace.name, &error.into());
            refused.push(spot);
            continue;
        }
        let mut looker = Looker::new(kernel, scope, plan, progress);
        // Where nothing is wanted in one namespace, what all of them want was still asked for.
        let wanted = wanted.unwrap_or_default();
        let search = tables.as_ref().map(|tables| Search {
            wanted: &wanted,
            tables,
        });
        snapshots.push(looker.further_phases(snapshot, seen, search));
    }
    note(&mut snapshots, refused)?;
    Ok(snapshots)
}

/// The first phase in one namespace, and the sockets whose holders are to be found.
fn first(
    kernel: &mut dyn Kernel,
    scope: &Scope,
    plan: &Plan,
    path: &str,
    namespace: Namespace,
) -> Result<UnderWay> {
    kernel.enter(path)?;
    let mut looker = Looker::new(kernel, scope, plan, Progress::default());
    let (snapshot, seen) = looker.first_phase(namespace)?;
    let wanted = looker.wanted(&snapshot, &seen);
    Ok(UnderWay {
        path: path.to_owned(),
        progress: looker.progress,
        snapshot,
        seen,
        wanted,
    })
}

fn note(snapshots: &mut [Snapshot], refused: Vec<BlindSpot>) -> Result<()> {
    match snapshots.first_mut() {
        Some(first) => first.blind_spots.extend(refused),
        None => match refused.first() {
            Some(spot) => bail!("{}: {}", spot.what, spot.why),
            None => bail!("no network namespace was found"),
        },
    }
    Ok(())
}

/// By its bind mount, its container, pod or unit, or its number.
fn name(kernel: &mut dyn Kernel, found: &FoundNamespace, own: bool) -> Namespace {
    let origin = match found.pid {
        Some(pid) if !own => proc::read_origin(kernel, pid),
        _ => Origin::default(),
    };
    let name = if own {
        Scope::CURRENT_NETNS.to_owned()
    } else {
        let mounted = found.names.first().cloned();
        mounted
            .or_else(|| origin_name(&origin))
            .unwrap_or_else(|| format!("net:[{}]", found.inode))
    };
    Namespace {
        name,
        inode: Some(found.inode),
        origin,
    }
}

fn origin_name(origin: &Origin) -> Option<String> {
    // As much of an id as runtimes print.
    const SHORT: usize = 12;
    let container = origin.container.as_ref();
    let container = container.map(|(runtime, id)| format!("{runtime} {}", &id[..SHORT]));
    container.or_else(|| origin.unit.clone())
}
