//! A look into every network namespace that can be reached: sockets of all first, then one pass
//! over the descriptors of all processes, then each namespace to its end.

use super::blind_spots;
use super::error::LookError;
use super::looker::{Looker, Progress};
use super::options::LookOptions;
use super::search::Search;
use crate::collect::kernel::{FoundNamespace, Kernel};
use crate::collect::proc;
use crate::correlate::Triage;
use crate::model::{BlindSpot, InodeSet, Namespace, Origin, Reading, Scope, Snapshot};

/// A namespace whose sockets were read.
struct UnderWay {
    place: FoundNamespace,
    snapshot: Snapshot,
    seen: Triage,
    /// The sockets whose holders are to be found, if any are.
    wanted: Option<InodeSet>,
    progress: Progress,
}

/// Looks everywhere. One namespace that cannot be entered is a blind spot, and the next is read.
pub(super) fn look(
    kernel: &mut dyn Kernel,
    options: &LookOptions,
) -> Result<Vec<Snapshot>, LookError> {
    let found = kernel.namespaces().map_err(LookError::Namespaces)?;
    let mut under_way = Vec::new();
    let mut refused = Vec::new();
    let mut wanted = InodeSet::default();
    for (index, namespace) in found.into_iter().enumerate() {
        let named = name(kernel, &namespace, index == 0);
        if kernel.is_out_of_time() {
            let why = "the time of the look was used up: give it more with --timeout 60s";
            refused.push(blind_spots::refused_namespace(&named.name, &why));
            continue;
        }
        match first(kernel, options, namespace, named.clone()) {
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
            place,
            snapshot,
            seen,
            wanted,
            progress,
        } = one;
        if let Err(error) = kernel.enter(&place) {
            let spot = blind_spots::refused_namespace(&snapshot.namespace.name, &error);
            refused.push(spot);
            continue;
        }
        let mut looker = Looker::new(kernel, options, progress);
        // One namespace may want nothing; the tables were still read for the others.
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
    options: &LookOptions,
    place: FoundNamespace,
    namespace: Namespace,
) -> Result<UnderWay, String> {
    kernel.enter(&place).map_err(|error| error.to_string())?;
    let mut looker = Looker::new(kernel, options, Progress::default());
    let (snapshot, seen) = looker
        .first_phase(namespace)
        .map_err(|error| error.to_string())?;
    let wanted = looker.wanted(&snapshot, &seen);
    Ok(UnderWay {
        place,
        progress: looker.progress,
        snapshot,
        seen,
        wanted,
    })
}

fn note(snapshots: &mut [Snapshot], refused: Vec<BlindSpot>) -> Result<(), LookError> {
    if let Some(first) = snapshots.first_mut() {
        first.blind_spots.extend(refused);
        return Ok(());
    }
    let why = refused.first();
    Err(LookError::NoNamespace {
        why: why.map(|spot| format!("{}: {}", spot.what, spot.why)),
    })
}

/// By its bind mount, its container, pod or unit, or its number.
fn name(kernel: &mut dyn Kernel, found: &FoundNamespace, own: bool) -> Namespace {
    let origin = match found.pid {
        Some(pid) if !own => match proc::read_origin(kernel, pid) {
            Reading::Known(origin) => origin,
            // The namespace then has its number as its name.
            Reading::Unknown(_) => Origin::default(),
        },
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
