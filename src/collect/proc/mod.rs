//! Processes and tables below `/proc`, and the cgroup files beside it.

mod cgroup;
mod elf;
mod fdinfo;
mod limits;
mod locks;
mod net_tcp;
mod net_udp;
mod netstat;
mod own_rights;
mod process;
mod runtime;
mod stat;
mod syscall;
mod waits;

pub use super::sockstat::{parse_sockstat, read_unlisted_tcp_sockets};
pub use cgroup::read_origin;
pub use fdinfo::parse_epoll_watches;
pub use limits::parse_open_files_limit;
pub use locks::{parse_locks, read_locks};
pub use net_tcp::{parse_net_tcp, read_net_tcp, read_net_tcp_inodes};
pub use net_udp::read_udp_sockets;
pub use netstat::{parse_dropped_counters, read_dropped_counters};
pub use own_rights::read_own_rights;
pub use process::{examine_process, list_threads, read_descriptor, read_process, sample_thread};
pub use stat::{Stat, parse_stat};
pub use syscall::parse_syscall;
pub use waits::{
    read_access, read_children, read_descriptors, read_futex, read_in_flight, read_uptime,
};
