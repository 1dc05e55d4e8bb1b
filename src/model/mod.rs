//! The vocabulary below everything else: sockets, processes, and what could not be read.
//!
//! No I/O and no policy here; every number is documented once, where its type is defined.

mod absent;
mod confidence;
mod coverage;
mod holder;
mod process;
mod reading;
mod runtime;
mod scope;
mod snapshot;
mod socket;
mod syscall;
mod waits;

pub use absent::{Absent, Asked};
pub use confidence::Confidence;
pub use coverage::{Coverage, Extent};
pub use holder::{Holder, HolderSource, Via};
pub use process::{
    Descriptor, EpollSet, EpollWatch, Examination, FdLimit, Pid, Process, RunState, Syscall, Thread,
};
pub use reading::{Gap, Reading};
pub use runtime::{Library, Runtime, Server, Software};
pub use scope::{PortRange, Scope};
pub use snapshot::{
    BlindSpot, DeadDescriptors, DeadSocket, DroppedCounters, HiddenSearch, Host, Later, Namespace,
    OpenConnections, Origin, Sample, Snapshot, SocketSource, SocketTable, ThreadSample,
};
pub use socket::{Connection, Inode, InodeSet, Layer, Listener, TcpAges, TcpState, Timer, Traffic};
pub use syscall::{Call, CallKind};
pub use waits::{
    Access, FileLock, FutexKind, FutexWait, InFlight, LinkHolder, UdpSocket, UnixSocket, WaitFacts,
};
