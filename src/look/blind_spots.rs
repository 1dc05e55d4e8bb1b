//! What could not be seen, in words.

use crate::collect::kernel::{KernelError, Kind};
use crate::correlate::UnknownAges;
use crate::model::{BlindSpot, Gap, Pid, Rights};

/// Stands in remedies for what this program lacks, until [`name_privileges`].
const PRIVILEGES: &str = Rights::USUAL;

/// Sockets had to be read from procfs.
pub(super) fn procfs_only(reason: Option<&KernelError>, matters: bool) -> BlindSpot {
    BlindSpot {
        what: "ages of connections, limits of accept queues, and timers".to_owned(),
        why: match reason {
            Some(error) => format!("sock_diag could not be used ({error}), and /proc/net/tcp does not have them"),
            None => "/proc/net/tcp, which was asked for, does not have them".to_owned(),
        },
        remedy: match reason {
            Some(error) if error.kind == Kind::NotPermitted => {
                "allow AF_NETLINK sockets to this program (seccomp, SELinux, container profile)".to_owned()
            }
            Some(_) => "load the modules tcp_diag and inet_diag".to_owned(),
            None => "leave out --source procfs; or watch for longer than the grace period, for example --observe 4s".to_owned(),
        },
        hides_findings: matters,
    }
}

/// Records of the socket tables made no sense.
pub(super) fn malformed_sockets(number: usize) -> BlindSpot {
    BlindSpot {
        what: format!("{number} records of the socket tables"),
        why: "they did not have the documented form".to_owned(),
        remedy: "report it with `closewait-doctor record --redact -o FILE`".to_owned(),
        hides_findings: true,
    }
}

/// The kernel kept changing its tables.
pub(super) fn interrupted_dump() -> BlindSpot {
    BlindSpot {
        what: "sockets that came or went during the look".to_owned(),
        why: "the kernel reported its dump as inconsistent (NLM_F_DUMP_INTR) at every attempt"
            .to_owned(),
        remedy: "look again; narrow it with --port".to_owned(),
        hides_findings: true,
    }
}

/// Descriptors of some processes may not be read.
pub(super) fn refused_processes(refused: &[Pid], all: usize, unattributed: usize) -> BlindSpot {
    const NAMED: usize = 3;
    let names: Vec<String> = refused
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let more = if refused.len() > NAMED { ", ..." } else { "" };
    BlindSpot {
        what: format!(
            "descriptors of {} of {all} processes (pid {}{more})",
            refused.len(),
            names.join(", ")
        ),
        why: format!("not permitted{}", without_owner(unattributed)),
        remedy: PRIVILEGES.to_owned(),
        hides_findings: unattributed > 0,
    }
}

/// Processes of other users are not even listed.
pub(super) fn unlisted_processes(unattributed: usize) -> BlindSpot {
    BlindSpot {
        what: "processes of other users".to_owned(),
        why: format!(
            "/proc does not list them: it is mounted with hidepid{}",
            without_owner(unattributed)
        ),
        remedy: PRIVILEGES.to_owned(),
        hides_findings: unattributed > 0,
    }
}

fn without_owner(sockets: usize) -> String {
    match sockets {
        0 => String::new(),
        1 => "; 1 suspicious socket has no visible owner".to_owned(),
        number => format!("; {number} suspicious sockets have no visible owner"),
    }
}

/// No member of a queue is visible, and the look was too short to tell how long its head has waited.
pub(super) fn unknown_waits(number: usize) -> BlindSpot {
    BlindSpot {
        what: format!(
            "how long {number} connections have waited that were reset in their accept queue"
        ),
        why: "no socket list shows them, and their queue did not move while it was watched"
            .to_owned(),
        remedy: "watch for longer than the grace period: --observe 4s".to_owned(),
        hides_findings: true,
    }
}

/// Connections that the peer has closed at an unknown time.
pub(super) fn unknown_ages(unknown: UnknownAges) -> Vec<BlindSpot> {
    let spot = |number: usize, kind: &str, why: String| {
        (number > 0).then(|| BlindSpot {
            what: format!("since when the peer has closed {number} of the {kind}connections"),
            why,
            remedy: "watch for longer than the grace period: --observe 4s".to_owned(),
            hides_findings: true,
        })
    };
    let renewed = match unknown.every {
        Some(every) => format!(
            "seen, age not known: keep-alive renews their clock about every {} s",
            every.as_secs().max(1)
        ),
        None => "seen, age not known: probes or data have renewed their clocks since".to_owned(),
    };
    let no_clocks =
        "the kernel has no clocks at MPTCP level, and they were not watched long enough";
    [
        spot(unknown.mptcp, "MPTCP ", no_clocks.to_owned()),
        spot(unknown.renewed, "", renewed),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A recording holds no samples at what is suspicious now.
pub(super) fn not_watched() -> BlindSpot {
    BlindSpot {
        what: "what threads do while connections wait".to_owned(),
        why: "nothing was suspicious when it was recorded, so nothing was watched".to_owned(),
        remedy: "replay without --min-age, or record with it".to_owned(),
        hides_findings: true,
    }
}

/// Returns whether a privilege is missing for one of them.
pub(super) fn lack_privileges(spots: &[BlindSpot]) -> bool {
    spots.iter().any(|spot| spot.remedy.contains(PRIVILEGES))
}

/// Says in them which privilege is missing, and why.
pub(super) fn name_privileges(spots: &mut [BlindSpot], rights: Rights) {
    for spot in spots {
        spot.remedy = spot.remedy.replace(PRIVILEGES, &rights.what_helps());
    }
}

/// Descriptors of the processes that were asked for may not be read.
pub(super) fn refused_scope(pids: &[Pid]) -> BlindSpot {
    let names: Vec<String> = pids.iter().map(ToString::to_string).collect();
    BlindSpot {
        what: format!("the sockets of process {}", names.join(", ")),
        why: "its descriptors may not be read".to_owned(),
        remedy: PRIVILEGES.to_owned(),
        hides_findings: true,
    }
}

/// A network namespace could not be looked into.
pub(super) fn refused_namespace(name: &str, error: &impl ToString) -> BlindSpot {
    BlindSpot {
        what: format!("the network namespace {name}"),
        why: error.to_string(),
        remedy: "entering a namespace needs CAP_SYS_ADMIN on the host".to_owned(),
        hides_findings: true,
    }
}

/// Processes could not be listed.
pub(super) fn no_processes(error: &KernelError, matters: bool) -> BlindSpot {
    BlindSpot {
        what: "which processes hold the sockets".to_owned(),
        why: error.to_string(),
        remedy: match error.kind {
            Kind::NotFound => "name the mount of procfs with --procfs".to_owned(),
            _ => PRIVILEGES.to_owned(),
        },
        hides_findings: matters,
    }
}

/// A part of the socket tables could not be read.
pub(super) fn missing_sockets(gap: Gap) -> BlindSpot {
    BlindSpot {
        what: "some of the sockets".to_owned(),
        why: gap.to_string(),
        remedy:
            "look again; if it stays so, report it with `closewait-doctor record --redact -o FILE`"
                .to_owned(),
        hides_findings: true,
    }
}

const DEAD: &str = "descriptors of connections that no longer exist";

/// The search for dead descriptors was not possible.
pub(super) fn dead_not_searched(error: &KernelError) -> BlindSpot {
    BlindSpot {
        what: DEAD.to_owned(),
        why: error.to_string(),
        remedy: match error.kind {
            Kind::NotFound => "name the mount of procfs with --procfs",
            Kind::NotPermitted => PRIVILEGES,
            Kind::NotRecorded => "record again: this recording does not hold it",
            Kind::NotSupported | Kind::Malformed | Kind::TimedOut | Kind::Failed => "look again",
        }
        .to_owned(),
        hides_findings: true,
    }
}

/// Not all processes could be searched for dead descriptors.
pub(super) fn dead_searched_partly(gap: Gap) -> BlindSpot {
    BlindSpot {
        what: format!("{DEAD}, in some processes"),
        why: match gap {
            Gap::BudgetUsedUp => {
                "there are more descriptors on this host than are searched for them".to_owned()
            }
            other => other.to_string(),
        },
        remedy: match gap {
            Gap::NotPermitted => PRIVILEGES,
            _ => "count what one process has: lsof -nP -p PID | grep -c 'protocol: TCP'",
        }
        .to_owned(),
        hides_findings: true,
    }
}

/// Descriptors of some processes could not be read, for a reason other than permission.
pub(super) fn failed_processes(failed: &[Pid], unattributed: usize) -> BlindSpot {
    BlindSpot {
        what: format!("descriptors of {}", pids(failed)),
        why: format!("reading them failed{}", without_owner(unattributed)),
        remedy: "look again; if it stays so, this host may be out of memory or of open files"
            .to_owned(),
        hides_findings: true,
    }
}

/// `process 7, 8, 9, ...`
fn pids(pids: &[Pid]) -> String {
    const NAMED: usize = 3;
    let names: Vec<String> = pids.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if pids.len() > NAMED { ", ..." } else { "" };
    format!("process {}{more}", names.join(", "))
}

/// All processes were seen, and none holds the socket.
pub(super) fn no_owner(number: usize) -> BlindSpot {
    BlindSpot {
        what: format!(
            "the owner of {} suspicious {}",
            number,
            if number == 1 { "socket" } else { "sockets" }
        ),
        why: "no process that can be seen has a descriptor of it: it may be in another pid \
              namespace, in flight over a unix socket, registered with an io_uring, or held by \
              the kernel"
            .to_owned(),
        remedy:
            "run it on the host rather than in a container, or with --procfs; where /proc is mounted with hidepid, \
                 run it there as root"
                .to_owned(),
        hides_findings: true,
    }
}

/// What the threads of suspects do could not be seen.
pub(super) fn hidden_threads(processes: &str, gap: Gap) -> BlindSpot {
    BlindSpot {
        what: format!("what the threads of {processes} do"),
        why: gap.to_string(),
        remedy: match gap {
            Gap::NotPermitted => PRIVILEGES,
            Gap::NotRecorded => "replay with the options it was recorded with, or record again",
            Gap::NotSupported => {
                "none is known: the kernel lacks /proc/PID/syscall, or it is a 32-bit program"
            }
            Gap::NotShown => "look at the host itself: closewait-doctor scan, or record -o FILE",
            Gap::BudgetUsedUp => "give it more time: --timeout 60s",
            Gap::Vanished
            | Gap::Malformed
            | Gap::NotLookedAt
            | Gap::CutOff
            | Gap::NoAnswer
            | Gap::Failed => "look again",
        }
        .to_owned(),
        hides_findings: true,
    }
}

/// Memory or files of processes did not answer in time.
pub(super) fn no_answer(processes: &str) -> BlindSpot {
    BlindSpot {
        what: format!("the command line and the executable of {processes}"),
        why: Gap::NoAnswer.to_string(),
        remedy: "see what the process itself waits for: /proc/PID/stack; a mount that does not answer may be the \
                 cause of more"
            .to_owned(),
        hides_findings: false,
    }
}

/// The descriptors of a process that holds something suspicious could not be listed: which connections are its
/// own is told by them.
pub(super) fn descriptors_of_suspect(pid: Pid, error: &KernelError) -> BlindSpot {
    BlindSpot {
        what: format!("what process {pid} holds"),
        why: error.to_string(),
        remedy: match error.kind {
            Kind::NotRecorded => "record again: this recording does not hold it",
            _ => "look again",
        }
        .to_owned(),
        hides_findings: true,
    }
}

/// Connections that are open on both ends could not be read: who serves whom is told by them.
pub(super) fn open_connections(error: &KernelError) -> BlindSpot {
    BlindSpot {
        what: "the open connections of suspicious programs".to_owned(),
        why: error.to_string(),
        remedy: match error.kind {
            Kind::NotRecorded => "record again: this recording does not hold them",
            _ => "look again",
        }
        .to_owned(),
        hides_findings: true,
    }
}

/// A chain of waits ends where it could not be read further.
pub(super) fn not_followed(what: &str) -> BlindSpot {
    BlindSpot {
        what: format!("{what}, where a process waits for another"),
        why: "it could not be read, or there was more than a look follows".to_owned(),
        remedy: "scan the processes that are named, one by one: --pid PID".to_owned(),
        hides_findings: false,
    }
}

/// The look has used up its time.
pub(super) fn out_of_time() -> BlindSpot {
    BlindSpot {
        what: "what the processes at suspicious sockets do".to_owned(),
        why: "the time of the look was used up".to_owned(),
        remedy: "give it more time: --timeout 60s; or narrow it with --port".to_owned(),
        hides_findings: true,
    }
}
