//! The vocabulary below everything else: sockets, processes, and what could not be read.
//!
//! No I/O and no policy here; every number is documented once, where its type is defined.

mod absent;
mod confidence;
mod coverage;
mod event;
mod holder;
mod origin;
mod process;
mod reading;
mod rights;
mod runtime;
mod scope;
pub mod similar;
mod snapshot;
mod socket;
mod syscall;
mod trace;
mod waits;

pub use absent::{Absent, Asked};
pub use confidence::Confidence;
pub use coverage::{Coverage, Extent};
pub use event::{Actor, Ends, Event, EventKind, Wait};
pub use holder::{Holder, HolderSource, Via};
pub use origin::Origin;
pub use process::{
    Descriptor, EpollSet, EpollWatch, Examination, FdLimit, Pid, Process, RunState, Syscall, Thread,
};
pub use reading::{Gap, Reading};
pub use rights::Rights;
pub use runtime::{Library, Runtime, Server, Software};
pub use scope::{PortRange, Scope};
pub use snapshot::{
    BlindSpot, DeadDescriptors, DeadSocket, DroppedCounters, HiddenSearch, Host, Later, Namespace,
    OpenConnections, Sample, Snapshot, SocketSource, SocketTable, ThreadSample,
};
pub use socket::{Connection, Inode, InodeSet, Layer, Listener, TcpAges, TcpState, Timer, Traffic};
pub use syscall::{Call, CallKind};
pub use trace::{Trace, TraceFilter, TraceSource, TracedListener, TracedWatch};
pub use waits::{
    Access, FileLock, FutexKind, FutexWait, InFlight, LinkHolder, UdpSocket, UnixSocket, WaitFacts,
};
