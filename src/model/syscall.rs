//! Names and kinds of the system calls that threads sleep in.

/// What a call that a thread sleeps in is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// `epoll_wait` and its kin; the first argument is the epoll descriptor.
    EpollWait,
    /// `accept`, `accept4`; the first argument is the listener.
    Accept,
    /// `poll`, `ppoll`: an array and its length.
    Poll,
    /// `select`, `pselect6`: a number and a set to read from.
    Select,
    /// Reads from, writes to or connects the descriptor in the first argument.
    OnDescriptor,
    /// Waits for another thread.
    Futex,
    /// Lets time pass.
    Sleep,
    /// Waits for a child process or a signal, as supervisors do.
    ChildOrSignal,
    /// Waits for an `io_uring`.
    IoUring,
    /// Another call.
    Other,
}

/// A named system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub kind: CallKind,
}

impl Call {
    /// Finds a call by the number it has on the given machine (`uname -m`).
    pub fn of_number(machine: &str, number: u32) -> Option<Self> {
        let column: fn(&Row) -> Option<u16> = match machine {
            "x86_64" => |row| row.x86_64,
            "aarch64" | "riscv64" => |row| row.generic,
            _ => return None,
        };
        CALLS
            .iter()
            .find(|row| column(row).map(u32::from) == Some(number))
            .map(|row| Self {
                name: row.name,
                kind: row.kind,
            })
    }
}

struct Row {
    name: &'static str,
    kind: CallKind,
    /// `arch/x86/entry/syscalls/syscall_64.tbl`.
    x86_64: Option<u16>,
    /// `include/uapi/asm-generic/unistd.h`, as arm64 and riscv have it.
    generic: Option<u16>,
}

const fn row(name: &'static str, kind: CallKind, x86_64: u16, generic: u16) -> Row {
    Row {
        name,
        kind,
        x86_64: Some(x86_64),
        generic: Some(generic),
    }
}

const fn x86_only(name: &'static str, kind: CallKind, x86_64: u16) -> Row {
    Row {
        name,
        kind,
        x86_64: Some(x86_64),
        generic: None,
    }
}

use CallKind::{
    Accept, ChildOrSignal, EpollWait, Futex, IoUring, OnDescriptor, Other, Poll, Select, Sleep,
};

const CALLS: &[Row] = &[
    x86_only("epoll_wait", EpollWait, 232),
    row("epoll_pwait", EpollWait, 281, 22),
    row("epoll_pwait2", EpollWait, 441, 441),
    row("accept", Accept, 43, 202),
    row("accept4", Accept, 288, 242),
    x86_only("poll", Poll, 7),
    row("ppoll", Poll, 271, 73),
    x86_only("select", Select, 23),
    row("pselect6", Select, 270, 72),
    row("read", OnDescriptor, 0, 63),
    row("write", OnDescriptor, 1, 64),
    row("readv", OnDescriptor, 19, 65),
    row("writev", OnDescriptor, 20, 66),
    row("pread64", OnDescriptor, 17, 67),
    row("pwrite64", OnDescriptor, 18, 68),
    row("connect", OnDescriptor, 42, 203),
    row("sendto", OnDescriptor, 44, 206),
    row("recvfrom", OnDescriptor, 45, 207),
    row("sendmsg", OnDescriptor, 46, 211),
    row("recvmsg", OnDescriptor, 47, 212),
    row("sendmmsg", OnDescriptor, 307, 269),
    row("recvmmsg", OnDescriptor, 299, 243),
    row("sendfile", OnDescriptor, 40, 71),
    row("splice", OnDescriptor, 275, 76),
    row("ioctl", OnDescriptor, 16, 29),
    row("fcntl", OnDescriptor, 72, 25),
    row("flock", OnDescriptor, 73, 32),
    row("fsync", OnDescriptor, 74, 82),
    row("fdatasync", OnDescriptor, 75, 83),
    row("close", OnDescriptor, 3, 57),
    row("getdents64", OnDescriptor, 217, 61),
    row("futex", Futex, 202, 98),
    row("futex_waitv", Futex, 449, 449),
    row("nanosleep", Sleep, 35, 101),
    row("clock_nanosleep", Sleep, 230, 115),
    row("wait4", ChildOrSignal, 61, 260),
    row("waitid", ChildOrSignal, 247, 95),
    x86_only("pause", ChildOrSignal, 34),
    row("rt_sigsuspend", ChildOrSignal, 130, 133),
    row("rt_sigtimedwait", ChildOrSignal, 128, 137),
    row("io_uring_enter", IoUring, 426, 426),
    row("io_getevents", Other, 208, 4),
    row("restart_syscall", Other, 219, 128),
    row("clone", Other, 56, 220),
    x86_only("vfork", Other, 58),
    row("clone3", Other, 435, 435),
    row("semop", Other, 65, 193),
    row("semtimedop", Other, 220, 192),
    row("msgsnd", Other, 69, 189),
    row("msgrcv", Other, 70, 188),
    x86_only("open", Other, 2),
    row("openat", Other, 257, 56),
    x86_only("stat", Other, 4),
    x86_only("lstat", Other, 6),
    row("newfstatat", Other, 262, 79),
    row("statx", Other, 332, 291),
    x86_only("rename", Other, 82),
    x86_only("unlink", Other, 87),
    row("unlinkat", Other, 263, 35),
    row("mmap", Other, 9, 222),
    row("munmap", Other, 11, 215),
    row("madvise", Other, 28, 233),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_the_number_of_their_machine() {
        let name = |machine, number| Call::of_number(machine, number).map(|call| call.name);
        assert_eq!(name("x86_64", 232), Some("epoll_wait"));
        assert_eq!(name("aarch64", 22), Some("epoll_pwait"));
        assert_eq!(name("aarch64", 232), None);
        assert_eq!(name("s390x", 232), None);
    }

    #[test]
    fn no_number_stands_for_two_calls() {
        for column in [|row: &Row| row.x86_64, |row: &Row| row.generic] {
            let mut numbers: Vec<u16> = CALLS.iter().filter_map(column).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count);
        }
    }
}
