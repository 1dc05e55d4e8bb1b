//! What prints tables of sockets, and what a table may leave out.

/// One table in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// What printed it.
    pub kind: Kind,
    /// What it does not show of the sockets in it.
    pub lacks: Vec<Fact>,
}

/// What a table may or may not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The inode of every socket.
    Inode,
    /// Clocks of connections.
    Age,
    /// Processes.
    Owner,
    /// Limits of accept queues.
    Limit,
}

/// What prints tables of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `ss`.
    Ss,
    /// `netstat` of net-tools or busybox.
    Netstat,
    /// `lsof`, which shows what processes hold, and no queues.
    Lsof,
    /// `/proc/net/tcp`.
    NetTcp,
    /// `/proc/net/tcp6`, which is the other half of `/proc/net/tcp` and no table more.
    NetTcp6,
}

impl Kind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ss => "ss",
            Self::Netstat => "netstat",
            Self::Lsof => "lsof",
            Self::NetTcp => "/proc/net/tcp",
            Self::NetTcp6 => "/proc/net/tcp6",
        }
    }

    /// Whether one table shows IPv4 and IPv6.
    pub(super) fn has_both_families(self) -> bool {
        match self {
            Self::Ss | Self::Netstat => true,
            Self::Lsof | Self::NetTcp | Self::NetTcp6 => false,
        }
    }
}
