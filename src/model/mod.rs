//! The vocabulary below everything else: sockets, processes, and what could not be read.
//!
//! No I/O and no policy here; every number is documented once, where its type is defined.

mod process;
mod reading;
mod scope;
mod snapshot;
mod syscall;
mod socket;

pub use process::{
    Descriptor, EpollSet, EpollWatch, Examination, FdLimit, Pid, Process, RunState, Runtime,
    Syscall, Thread,
};
pub use reading::{Gap, Reading};
pub use scope::{PortRange, Scope};
pub use snapshot::{
    BlindSpot, DroppedCounters, Glance, Holder, Host, Snapshot, SocketSource, SocketTable,
    ThreadGlance,
};
pub use syscall::{Call, CallKind};
pub use socket::{Connection, Inode, Listener, TcpAges, TcpState, Timer};
