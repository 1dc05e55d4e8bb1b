//! What a thread is doing, in terms of what it could be woken by.

use std::fmt;

use crate::model::{Call, CallKind, Gap, Reading, RunState, Syscall};

/// What a thread is doing at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Activity {
    /// On a processor, or waiting for one.
    Running,
    /// Waits on this epoll set.
    EpollWait {
        /// Its descriptor.
        fd: u32,
    },
    /// Waits in `accept` on this descriptor.
    Accept {
        /// Its descriptor.
        fd: u32,
    },
    /// Waits in poll or select, for these descriptors where they could be read.
    Poll {
        /// The call.
        call: &'static str,
        /// Descriptors it waits to read from.
        fds: Option<Vec<u32>>,
    },
    /// Blocked in a call on this descriptor.
    OnDescriptor {
        /// The call.
        call: &'static str,
        /// Its descriptor.
        fd: u32,
    },
    /// Waits for another thread of its process, or for memory it shares.
    Futex,
    /// Lets time pass.
    Sleep {
        /// The call.
        call: &'static str,
    },
    /// Waits for a child process or for a signal.
    ChildOrSignal {
        /// The call.
        call: &'static str,
    },
    /// Waits for an `io_uring`, through which it may accept and read.
    IoUring,
    /// Blocked in another call, by name or number.
    Other(String),
    /// Blocked outside of any call.
    OutsideCalls,
    /// It could not be seen.
    Unseen(Gap),
}

impl Activity {
    /// Returns the call, or a name for the activity, in one word.
    pub fn call_name(&self) -> &str {
        match self {
            Self::Running => "user space",
            Self::EpollWait { .. } => "epoll_wait",
            Self::Accept { .. } => "accept",
            Self::Futex => "futex",
            Self::IoUring => "io_uring_enter",
            Self::Poll { call, .. }
            | Self::OnDescriptor { call, .. }
            | Self::Sleep { call }
            | Self::ChildOrSignal { call } => call,
            Self::Other(call) => call,
            Self::OutsideCalls => "no call",
            Self::Unseen(_) => "something unseen",
        }
    }
}

/// Where the descriptors that a thread polls lie in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollArgument {
    /// An array of `struct pollfd` of this length.
    Array {
        /// Its address.
        address: u64,
        /// Its length.
        len: usize,
    },
    /// A set of this many bits.
    Bits {
        /// Its address.
        address: u64,
        /// How many descriptors it covers.
        len: usize,
    },
}

/// More descriptors than this are not read out of a thread's memory.
const MOST_POLLED: u64 = 4096;

/// Interprets a reading.
///
/// A thread that is on a processor is running, whatever call it has just made.
pub fn interpret(
    machine: &str,
    state: Reading<RunState>,
    syscall: Reading<Syscall>,
    polled_fds: Option<&Vec<u32>>,
) -> Activity {
    if state == Reading::Known(RunState::Running) {
        return Activity::Running;
    }
    let (number, args) = match syscall {
        Reading::Known(Syscall::Running) => return Activity::Running,
        Reading::Known(Syscall::None) => return Activity::OutsideCalls,
        Reading::Known(Syscall::Call { number, args }) => (number, args),
        Reading::Unknown(gap) => return Activity::Unseen(gap),
    };
    let Some(call) = Call::of_number(machine, number) else {
        return Activity::Other(format!("system call {number}"));
    };
    let call_name = call.name;
    match call.kind {
        CallKind::EpollWait => Activity::EpollWait {
            fd: descriptor(args[0]),
        },
        CallKind::Accept => Activity::Accept {
            fd: descriptor(args[0]),
        },
        CallKind::Poll | CallKind::Select => Activity::Poll {
            call: call_name,
            fds: polled_fds.cloned(),
        },
        CallKind::OnDescriptor => Activity::OnDescriptor {
            call: call_name,
            fd: descriptor(args[0]),
        },
        CallKind::Futex => Activity::Futex,
        CallKind::Sleep => Activity::Sleep { call: call_name },
        CallKind::ChildOrSignal => Activity::ChildOrSignal { call: call_name },
        CallKind::IoUring => Activity::IoUring,
        CallKind::Other => Activity::Other(call_name.to_owned()),
    }
}

/// A descriptor is an `int`; the upper half of the register is not part of it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half of the register is not part of the descriptor"
)]
fn descriptor(register: u64) -> u32 {
    register as u32
}

/// Returns where the descriptors lie that a thread in poll or select waits for.
pub fn poll_argument(machine: &str, syscall: &Reading<Syscall>) -> Option<PollArgument> {
    let Reading::Known(Syscall::Call { number, args }) = syscall else {
        return None;
    };
    let count = |register: u64| usize::try_from(register.min(MOST_POLLED)).unwrap_or_default();
    match Call::of_number(machine, *number)?.kind {
        CallKind::Poll => Some(PollArgument::Array {
            address: args[0],
            len: count(args[1]),
        }),
        CallKind::Select => Some(PollArgument::Bits {
            address: args[1],
            len: count(args[0]),
        }),
        _ => None,
    }
}

/// Reads descriptors out of the memory that [`poll_argument`] pointed to.
pub fn parse_polled(argument: PollArgument, memory: &[u8]) -> Vec<u32> {
    const POLLIN: u16 = 0x1;
    match argument {
        PollArgument::Array { len, .. } => memory
            .chunks_exact(8)
            .take(len)
            .filter_map(|pollfd| {
                let fd = i32::from_ne_bytes(*pollfd.first_chunk()?);
                let events = u16::from_ne_bytes(*pollfd.get(4..)?.first_chunk()?);
                // A negative descriptor is passed over by poll.
                u32::try_from(fd).ok().filter(|_| events & POLLIN != 0)
            })
            .collect(),
        PollArgument::Bits { len, .. } => (0..len)
            .filter(|bit| {
                memory
                    .get(bit / 8)
                    .is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
            })
            .filter_map(|bit| u32::try_from(bit).ok())
            .collect(),
    }
}

impl PollArgument {
    /// Address and size of the memory to read.
    pub fn memory(self) -> (u64, usize) {
        match self {
            Self::Array { address, len } => (address, len * 8),
            Self::Bits { address, len } => (address, len.div_ceil(8)),
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running on a processor"),
            Self::EpollWait { fd } => write!(f, "in epoll_wait on fd {fd}"),
            Self::Accept { fd } => write!(f, "in accept on fd {fd}"),
            Self::Poll { call, fds: None } => write!(f, "in {call}"),
            Self::Poll {
                call,
                fds: Some(fds),
            } => match &fds[..] {
                [] => write!(f, "in {call} on no descriptor"),
                [fd] => write!(f, "in {call} on fd {fd}"),
                [first, ..] => write!(f, "in {call} on {} fds (fd {first}, ...)", fds.len()),
            },
            Self::OnDescriptor { call, fd } => write!(f, "in {call} on fd {fd}"),
            Self::Futex => f.write_str("in futex, waiting for another thread"),
            Self::Sleep { call } => write!(f, "asleep in {call}"),
            Self::ChildOrSignal { call } => {
                write!(f, "in {call}, waiting for a child or a signal")
            }
            Self::IoUring => f.write_str("waiting for its io_uring"),
            Self::Other(call) => write!(f, "in {call}"),
            Self::OutsideCalls => f.write_str("blocked outside of system calls"),
            Self::Unseen(gap) => write!(f, "unseen ({gap})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(number: u32, args: [u64; 4]) -> Reading<Syscall> {
        Reading::Known(Syscall::Call { number, args })
    }

    const ASLEEP: Reading<RunState> = Reading::Known(RunState::Sleeping);

    #[test]
    fn epoll_wait_names_its_set() {
        let activity = interpret("x86_64", ASLEEP, call(232, [4, 0, 0, 0]), None);
        assert_eq!(activity, Activity::EpollWait { fd: 4 });
    }

    #[test]
    fn a_thread_on_a_processor_is_not_asleep_in_its_last_call() {
        let running = Reading::Known(RunState::Running);
        let activity = interpret("x86_64", running, call(232, [4, 0, 0, 0]), None);
        assert_eq!(activity, Activity::Running);
    }

    #[test]
    fn a_call_of_an_unknown_machine_is_kept_by_number() {
        let activity = interpret("s390x", ASLEEP, call(232, [4, 0, 0, 0]), None);
        assert_eq!(activity, Activity::Other("system call 232".to_owned()));
    }

    #[test]
    fn polled_descriptors_are_read_from_an_array_and_from_a_set() {
        let argument = poll_argument("x86_64", &call(7, [0x1000, 2, 0, 0])).unwrap();
        assert_eq!(argument.memory(), (0x1000, 16));
        let mut memory = vec![];
        for (fd, events) in [(3_i32, 1_u16), (-1, 1)] {
            memory.extend(fd.to_ne_bytes());
            memory.extend(events.to_ne_bytes());
            memory.extend([0, 0]);
        }
        assert_eq!(parse_polled(argument, &memory), [3]);
        let argument = poll_argument("x86_64", &call(23, [6, 0x1000, 0, 0])).unwrap();
        assert_eq!(parse_polled(argument, &[0b0010_1000]), [3, 5]);
    }

    #[test]
    fn memory_that_ends_early_gives_what_is_there() {
        let argument = PollArgument::Array { address: 0, len: 4 };
        assert!(parse_polled(argument, &[0; 7]).is_empty());
        let argument = PollArgument::Bits {
            address: 0,
            len: 64,
        };
        assert_eq!(parse_polled(argument, &[1]), [0]);
    }
}
