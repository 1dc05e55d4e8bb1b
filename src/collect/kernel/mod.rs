//! The seam between the program and the kernel: what was asked, and what was answered.
//!
//! It lies at bytes and paths, so that a recording holds what the kernel said and not what we
//! made of it, and it is coarse: a whole socket dump, the descriptors of all processes, a file.
//! [`LiveKernel`] asks, [`Recorder`] asks and writes down, [`RecordedKernel`] answers from a file.

mod error;
mod live;
pub mod netns;
mod recording;
mod watched;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Host, InodeSet, Pid, PortRange};

pub use error::{KernelError, Kind};
pub use live::LiveKernel;
pub(super) use live::hidden::parse_in_flight;
pub use live::unix::decode_unix_datagram;
pub use recording::{
    Header, RecordedKernel, RecordedOptions, RecordedScope, Recorder, RecordingError,
};
pub use watched::{Progress, WatchedKernel};

/// What can be asked of a kernel.
pub trait Kernel {
    /// Names the machine.
    fn host(&mut self) -> Host;

    /// Finds every network namespace that can be reached: the own one first, then those of
    /// processes, of bind mounts, and of descriptors that processes hold.
    ///
    /// # Errors
    ///
    /// When processes cannot be listed at all.
    fn namespaces(&mut self) -> Result<Vec<FoundNamespace>, KernelError>;

    /// Moves to a network namespace that [`Kernel::namespaces`] found: sockets and `thread-self/net`
    /// are its from then on, until the look ends.
    ///
    /// # Errors
    ///
    /// When it is gone, or entering it is not permitted.
    fn enter(&mut self, namespace: &FoundNamespace) -> Result<(), KernelError>;

    /// Moves to the network namespace of a name of `ip netns`, a path or a process id, until the look
    /// ends. A recording of it answers as it was.
    ///
    /// # Errors
    ///
    /// When it is not there, or entering it is not permitted.
    fn enter_named(&mut self, name: &str) -> Result<(), KernelError>;

    /// Returns whether the answers come from a recording.
    fn is_recorded(&self) -> bool {
        false
    }

    /// Time since the look began.
    ///
    /// # Errors
    ///
    /// When a recording has come to its end: from then on it can show no change.
    fn elapsed(&mut self) -> Result<Duration, KernelError>;

    /// Lets time pass.
    fn pause(&mut self, time: Duration);

    /// Dumps sockets: every datagram the kernel sends goes to `sink`, which says when it has seen
    /// the end.
    ///
    /// # Errors
    ///
    /// When `sock_diag` is refused, missing, or stops answering before the sink has seen the end.
    fn dump_sockets(
        &mut self,
        request: &SocketDump,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KernelError>;

    /// Says that a look begins: its clock starts, and what was opened or prepared for an earlier one
    /// is not used any more. It may take as long as `budget`.
    fn begin_look(&mut self, _budget: Duration) {}

    /// Returns whether the look has used up its time: what is left to be asked is not asked any more. A recording
    /// has all the time there is.
    fn is_out_of_time(&self) -> bool {
        false
    }

    /// Says that the look has ended: what was opened for it is closed, and the thread is back in the
    /// network namespace in which it began.
    ///
    /// # Errors
    ///
    /// When the thread cannot go back.
    fn end_look(&mut self) -> Result<(), KernelError> {
        Ok(())
    }

    /// Says that [`Kernel::descriptor_tables`] will be asked for soon. What can be done for it while
    /// other questions are answered may be begun.
    fn expect_descriptor_tables(&mut self) {}

    /// Finds the descriptors of every process that refer to the wanted sockets.
    ///
    /// # Errors
    ///
    /// When processes cannot be listed at all.
    fn descriptor_tables(&mut self, wanted: &InodeSet) -> Result<DescriptorTables, KernelError>;

    /// Looks for the wanted sockets where no descriptor table of a process shows them: in tables
    /// of single threads, in `io_uring` instances, and in flight over unix sockets.
    ///
    /// # Errors
    ///
    /// When processes cannot be listed at all.
    fn hidden_descriptors(&mut self, wanted: &InodeSet) -> Result<HiddenDescriptors, KernelError>;

    /// Looks for TCP sockets that no dump lists, in processes of this network namespace that hold
    /// many sockets; `listed` are those that a dump has listed. Without that it takes a kernel that tells
    /// the state of a socket by its descriptor.
    ///
    /// # Errors
    ///
    /// When processes cannot be listed at all; without `listed` also when the kernel does not tell.
    fn unlisted_sockets(
        &mut self,
        listed: Option<&InodeSet>,
    ) -> Result<UnlistedSockets, KernelError>;

    /// Finds the descriptors of all processes whose link has one of these texts: `pipe:[7]`,
    /// `socket:[7]`, or the path of a named pipe, terminal or file.
    ///
    /// # Errors
    ///
    /// When processes cannot be listed at all.
    fn link_holders(&mut self, targets: &BTreeSet<String>) -> Result<LinkHolders, KernelError>;

    /// Lists the unix sockets of this network namespace.
    ///
    /// # Errors
    ///
    /// When `sock_diag` is refused or does not know unix sockets.
    fn unix_sockets(&mut self) -> Result<Vec<UnixSocket>, KernelError>;

    /// Reads a whole file; a relative path is below the procfs root.
    ///
    /// # Errors
    ///
    /// When it does not exist, is not permitted, or cannot be read.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, KernelError>;

    /// Reads at most `len` bytes of a file from `offset`; fewer at its end.
    ///
    /// # Errors
    ///
    /// As [`Kernel::read`].
    fn read_at(&mut self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, KernelError>;

    /// Reads a symbolic link's text.
    ///
    /// # Errors
    ///
    /// As [`Kernel::read`].
    fn read_link(&mut self, path: &str) -> Result<String, KernelError>;

    /// Lists the entries of a directory whose names are numbers: processes, tasks, descriptors.
    ///
    /// # Errors
    ///
    /// As [`Kernel::read`].
    fn list_numbers(&mut self, path: &str) -> Result<Vec<u32>, KernelError>;

    /// Lists the lowest numbers among the names in a folder of procfs, in order: as many as wanted, and one more
    /// where there are more.
    ///
    /// # Errors
    ///
    /// When it does not exist or may not be read.
    fn list_lowest(&mut self, path: &str, most: usize) -> Result<Vec<u32>, KernelError>;
}

/// The protocol that is asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiagProtocol {
    /// TCP, subflows of MPTCP connections included.
    #[default]
    Tcp,
    /// MPTCP connections as their programs have them.
    Mptcp,
}

/// One question to `inet_diag`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SocketDump {
    /// Which protocol's sockets; older recordings ask for TCP only and do not say so.
    #[serde(default)]
    pub protocol: DiagProtocol,
    /// IPv6 (which includes the IPv4 clients of dual-stack listeners) or IPv4.
    pub ipv6: bool,
    /// States asked for: bit n stands for state number n.
    pub states: u32,
    /// Ports on either end; empty asks for all.
    pub ports: Vec<PortRange>,
    /// Whether `tcp_info` is wanted with each socket.
    pub tcp_info: bool,
    /// Whether the remainders of closed sockets are left out.
    pub full_sockets_only: bool,
}

impl SocketDump {
    /// Returns whether it asks for connections that one end has closed, and for no open ones.
    fn is_of_half_closed(&self) -> bool {
        const ESTABLISHED: u32 = 1 << 1;
        const CLOSE_WAIT: u32 = 1 << 8;
        self.states & (ESTABLISHED | CLOSE_WAIT) == CLOSE_WAIT
    }
}

/// What the descriptor tables of all processes hold of the wanted sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorTables {
    /// The processes that hold one.
    pub tables: Vec<DescriptorTable>,
    /// Processes whose descriptors may not be read.
    pub refused: Vec<Pid>,
    /// Processes whose descriptors could not be read for another reason.
    #[serde(default)]
    pub failed: Vec<Pid>,
    /// Whether processes of other users are not even listed, as where procfs is mounted with
    /// `hidepid=`.
    #[serde(default)]
    pub unlisted: bool,
    /// How many processes there were.
    pub processes: usize,
    /// Whether they were read in one pass inside the kernel.
    #[serde(default)]
    pub in_kernel: bool,
}

/// A network namespace and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundNamespace {
    /// Its number, as in `net:[4026531840]`.
    pub inode: u64,
    /// A path that leads there; a relative one is below the procfs root.
    pub path: String,
    /// The names of its bind mounts (`ip netns`, container runtimes).
    pub names: Vec<String>,
    /// The first process in it, if there is one.
    pub pid: Option<Pid>,
}

/// Where sockets are held that no process's descriptor table shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenDescriptors {
    /// Wanted sockets in threads that do not share their process's table.
    pub threads: Vec<DescriptorTable>,
    /// Wanted sockets that are registered with an `io_uring`: its process and descriptor, and
    /// their inodes.
    pub rings: Vec<(Pid, u32, Vec<u32>)>,
    /// The descriptor tables of the processes that have those rings.
    #[serde(default)]
    pub ring_owners: Vec<DescriptorTable>,
    /// Unix sockets with descriptors in flight: process, descriptor, and how many.
    pub in_flight: Vec<(Pid, u32, u32)>,
    /// Whether all of it could be searched, in the number of descriptors that is allowed for it.
    pub complete: bool,
    /// Whether some of it could not be read, and nobody forbade it.
    #[serde(default)]
    pub failed: bool,
}

/// Which processes hold pipes, terminals, files and unix sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkHolders {
    /// The descriptors.
    pub holders: Vec<LinkHolder>,
    /// Whether the descriptors of all processes could be searched.
    pub complete: bool,
}

/// A descriptor that was found by the text of its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkHolder {
    /// The process.
    pub pid: Pid,
    /// The descriptor.
    pub fd: u32,
    /// The text.
    pub target: String,
}

/// A unix socket (`struct unix_diag_msg`, since 3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixSocket {
    /// Its inode, as in `socket:[7]`.
    pub inode: u32,
    /// The inode of the socket it is connected with; none before that one was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<u32>,
    /// The path it is bound to; an abstract name begins with `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it listens.
    #[serde(default)]
    pub listens: bool,
    /// The inodes of clients that wait to be accepted, of one that listens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<u32>,
}

/// TCP sockets that processes hold and no dump lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlistedSockets {
    /// The processes that hold one.
    pub tables: Vec<UnlistedTable>,
    /// Whether all processes could be searched, in the number of descriptors that is allowed for
    /// it.
    pub complete: bool,
    /// How many processes may not be searched.
    #[serde(default)]
    pub refused: usize,
    /// How many processes could not be searched for another reason.
    #[serde(default)]
    pub failed: usize,
    /// How many TCP sockets of the machine are in no table of any network namespace and were not found
    /// either; counted where a process could not be searched.
    #[serde(default)]
    pub unaccounted: Option<u64>,
}

/// The unlisted TCP sockets of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlistedTable {
    /// The process.
    pub pid: Pid,
    /// How many descriptors are open.
    pub open: u64,
    /// The sockets.
    pub sockets: Vec<UnlistedSocket>,
}

/// A TCP socket that no dump lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlistedSocket {
    /// The descriptor.
    pub fd: u32,
    /// The socket.
    pub inode: u32,
    /// What it says itself, where it could be asked.
    pub ends: Option<SocketEnds>,
}

/// What a socket says of its ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketEnds {
    /// Its own address (`getsockname`), which outlives the connection.
    pub local: Option<SocketAddr>,
    /// Whether it has a peer (`getpeername`).
    pub connected: bool,
    /// Whether it listens (`SO_ACCEPTCONN`).
    pub listening: bool,
    /// Whether a packet ever came for it (`SO_INCOMING_CPU`).
    pub received: bool,
}

/// The interesting part of one process's descriptor table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorTable {
    /// The process.
    pub pid: Pid,
    /// The thread through which the table was read: the main one, unless that has exited.
    pub through: Pid,
    /// How many descriptors are open.
    pub open: u64,
    /// The lowest number that is not.
    pub lowest_free: u64,
    /// Descriptor and inode of each wanted socket.
    pub sockets: Vec<(u32, u32)>,
    /// Descriptors of epoll instances.
    pub epolls: Vec<u32>,
    /// Descriptors of `io_uring` instances.
    pub io_urings: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_of_a_recording_that_names_no_protocol_is_of_tcp() {
        let old =
            r#"{"ipv6":false,"states":1024,"ports":[],"tcp_info":false,"full_sockets_only":false}"#;
        let dump: SocketDump = serde_json::from_str(old).unwrap();
        assert_eq!(dump.protocol, DiagProtocol::Tcp);
        let new = serde_json::to_string(&dump).unwrap();
        assert_eq!(serde_json::from_str::<SocketDump>(&new).unwrap(), dump);
    }
}
