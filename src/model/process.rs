//! Processes, their threads, and what they wait for.

use super::{Inode, Origin, Reading, Software};

/// A process id, or a thread id, as seen through the `/proc` that was read.
pub type Pid = u32;

/// A process that holds a socket of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// Its id in its own pid namespace, where that is another (`NSpid`, since 4.1).
    pub pid_inside: Option<Pid>,
    /// The short name the kernel keeps (`comm`, at most 15 bytes; invalid UTF-8 replaced).
    pub command: String,
    /// The arguments it was started with, or the title it gave itself.
    pub command_line: Reading<String>,
    /// The user it acts as: its effective user id (`Uid:` of `/proc/PID/status`).
    pub uid: Reading<u32>,
    /// The container, pod and unit that it belongs to, by the names of its cgroups.
    pub origin: Reading<Origin>,
    /// The process that started it (`ppid` of `/proc/PID/stat`).
    pub parent: Reading<Pid>,
    /// Its process group (`pgrp`); 0 where that is in another pid namespace.
    pub group: Reading<Pid>,
    /// Its session (`session`); 0 where that is in another pid namespace.
    pub session: Reading<Pid>,
    /// When it started, in clock ticks since the machine did (`starttime`).
    pub started_ticks: Reading<u64>,
    /// Whether it runs, sleeps or is stopped.
    pub state: Reading<RunState>,
    /// Number of open descriptors.
    pub open_fds: Reading<u64>,
    /// The lowest descriptor number that is free: what `accept` would get.
    pub lowest_free_fd: Reading<u64>,
    /// Its `RLIMIT_NOFILE`.
    pub fd_limit: Reading<FdLimit>,
    /// What is only read of a suspicious process.
    pub examination: Option<Examination>,
}

/// What is read of a process that may be the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// Its threads, the main one first.
    pub threads: Reading<Vec<Thread>>,
    /// Its epoll sets.
    pub epoll_sets: Vec<EpollSet>,
    /// The descriptors of its `io_uring` instances: through those it can accept and read unseen.
    pub io_urings: Vec<u32>,
    /// Whether its cgroup is frozen (v1 `freezer.state`, v2 `cgroup.events`).
    pub frozen: Reading<bool>,
    /// The language and the server it runs, as far as they show.
    pub software: Software,
    /// A 32-bit program on a 64-bit kernel: its system calls cannot be named.
    pub compat: bool,
    /// Path of the executable.
    pub executable: Reading<String>,
    /// What its descriptors refer to, the lowest numbers first.
    pub descriptors: Vec<Descriptor>,
    /// Whether those are all.
    pub descriptors_complete: bool,
}

impl Process {
    /// Returns whether people call it by this name: its short name, the file name of its program, or its unit.
    pub fn is_called(&self, name: &str) -> bool {
        let program = self.command_line.known().map_or("", String::as_str);
        let program = program.split([' ', ':']).next().unwrap_or("");
        let unit = self
            .origin
            .known()
            .and_then(|origin| origin.unit.as_deref());
        let of_unit = |unit: &str| unit == name || unit.strip_suffix(".service") == Some(name);
        self.command == name
            || program.rsplit('/').next() == Some(name)
            || unit.is_some_and(of_unit)
    }

    /// The soft limit, where the process can open no more descriptors: the lowest free number has
    /// reached it, and every call that needs a descriptor fails with EMFILE.
    pub fn exhausted_fd_limit(&self) -> Option<u64> {
        let limit = self.fd_limit.copied()?.soft;
        (self.lowest_free_fd.copied()? >= limit).then_some(limit)
    }
}

/// One descriptor of a process and what it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The descriptor number.
    pub fd: u32,
    /// The link text of `/proc/PID/fd/N`: a path, or `socket:[inode]`.
    pub target: String,
}

impl Descriptor {
    /// The socket it refers to, if it is one.
    pub fn socket(&self) -> Option<Inode> {
        let digits = self.target.strip_prefix("socket:[")?.strip_suffix(']')?;
        Inode::new(digits.parse().ok()?)
    }
}

/// Soft and hard limit of open descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdLimit {
    /// What `accept` fails at (EMFILE). `u64::MAX` is unlimited.
    pub soft: u64,
    /// What the process may raise the soft limit to.
    pub hard: u64,
}

/// A task's state letter in `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// `R`: on a processor or waiting for one.
    Running,
    /// `S`: sleeps, a signal wakes it.
    Sleeping,
    /// `D`: sleeps, nothing but the awaited event wakes it.
    Uninterruptible,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by a debugger.
    Traced,
    /// `Z`: has ended and was not reaped.
    Zombie,
    /// Another letter (idle kernel threads, dead tasks).
    Other(char),
}

impl RunState {
    /// Reads the kernel's letter.
    pub fn from_letter(letter: char) -> Self {
        match letter {
            'R' => Self::Running,
            'S' => Self::Sleeping,
            'D' => Self::Uninterruptible,
            'T' => Self::Stopped,
            't' => Self::Traced,
            'Z' => Self::Zombie,
            other => Self::Other(other),
        }
    }

    /// One word for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Uninterruptible => "uninterruptible",
            Self::Stopped => "stopped",
            Self::Traced => "traced",
            Self::Zombie => "zombie",
            Self::Other(_) => "other",
        }
    }
}

/// One thread of a process, at the moment it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its id.
    pub tid: Pid,
    /// Its own short name.
    pub command: String,
    /// Whether it runs, sleeps or is stopped.
    pub state: Reading<RunState>,
    /// The system call it is in.
    pub syscall: Reading<Syscall>,
    /// The descriptors it waits for in poll or select, where they could be read.
    pub polled_fds: Option<Vec<u32>>,
    /// The kernel function it sleeps in (`wchan`), where it sleeps.
    pub wchan: Reading<String>,
}

impl Thread {
    /// The first argument of the call that it sleeps in, where it is in one.
    pub fn first_argument(&self) -> Option<u64> {
        match self.syscall {
            Reading::Known(Syscall::Call { args, .. }) => Some(args[0]),
            _ => None,
        }
    }
}

/// What `/proc/PID/task/TID/syscall` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syscall {
    /// `running`: on a processor, so there is nothing to read.
    Running,
    /// Blocked, but not in a system call (`-1`): a page fault, for example.
    None,
    /// Blocked in this call.
    Call {
        /// The call's number on the machine's architecture.
        number: u32,
        /// Its first four arguments as passed in registers.
        args: [u64; 4],
    },
}

/// An epoll instance of a process (`/proc/PID/fdinfo/FD` of an eventpoll descriptor).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpollSet {
    /// The descriptor by which the process knows the set.
    pub fd: u32,
    /// What is registered in it.
    pub watches: Reading<Vec<EpollWatch>>,
}

/// One registration in an epoll set (a `tfd:` line).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpollWatch {
    /// The descriptor number at the time of registration.
    pub target_fd: u32,
    /// The interest mask (`EPOLLIN` 0x1 ... `EPOLLET` 0x80000000).
    pub events: u32,
    /// Inode of the watched file (`ino:`, since 4.13); a socket's is its socket inode.
    pub target_inode: Option<u64>,
}

impl EpollWatch {
    const IN: u32 = 0x1;
    const OUT: u32 = 0x4;
    const RDHUP: u32 = 0x2000;
    const EXCLUSIVE: u32 = 1 << 28;
    const ONESHOT: u32 = 1 << 30;
    const ET: u32 = 1 << 31;

    /// Returns whether it watches the socket with this inode.
    pub fn watches(self, inode: Inode) -> bool {
        inode
            .number()
            .is_some_and(|number| self.target_inode == Some(u64::from(number)))
    }

    /// Wakes when there is something to read or to accept.
    pub fn wants_input(self) -> bool {
        self.events & Self::IN != 0
    }

    /// Wakes when the peer closes, even without `EPOLLIN`.
    pub fn wants_hangup(self) -> bool {
        self.events & Self::RDHUP != 0
    }

    /// Reports a change once, not a state for as long as it lasts.
    pub fn edge_triggered(self) -> bool {
        self.events & Self::ET != 0
    }

    /// Was armed for one event, and that event was delivered: only the flag is left of the mask.
    pub fn spent_one_shot(self) -> bool {
        self.events & Self::ONESHOT != 0 && self.events & (Self::IN | Self::OUT | Self::RDHUP) == 0
    }

    /// Wakes one of several waiters.
    pub fn exclusive(self) -> bool {
        self.events & Self::EXCLUSIVE != 0
    }

    /// The mask in the words of `epoll_ctl(2)`, for example `EPOLLIN|EPOLLET`.
    pub fn events_text(self) -> String {
        const NAMES: [(u32, &str); 9] = [
            (EpollWatch::IN, "EPOLLIN"),
            (0x2, "EPOLLPRI"),
            (EpollWatch::OUT, "EPOLLOUT"),
            (EpollWatch::RDHUP, "EPOLLRDHUP"),
            (EpollWatch::EXCLUSIVE, "EPOLLEXCLUSIVE"),
            (1 << 29, "EPOLLWAKEUP"),
            (EpollWatch::ONESHOT, "EPOLLONESHOT"),
            (EpollWatch::ET, "EPOLLET"),
            // The kernel adds EPOLLERR and EPOLLHUP to every mask; naming them tells nothing.
            (0x40, "EPOLLRDNORM"),
        ];
        let names: Vec<&str> = NAMES
            .iter()
            .filter(|(bit, _)| self.events & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        if names.is_empty() {
            "0".to_owned()
        } else {
            names.join("|")
        }
    }
}
