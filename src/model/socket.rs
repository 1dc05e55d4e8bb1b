//! TCP sockets as the kernel reports them.
//!
//! A listener and a connection are different types on purpose: the kernel's queue fields mean
//! connections on the one and bytes on the other.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::Reading;

/// The inode number of a socket on sockfs.
///
/// A connection that was never accepted has none: the kernel gives a socket its inode when a
/// program gets it. Reported as 0 by `inet_diag` (`idiag_inode`) and `/proc/net/tcp`.
///
/// Copied text may not show inodes at all. Then a stand-in, a number that no kernel assigns, relates a
/// socket to its holders. It does not say whether the socket was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode(NonZeroU64);

impl Inode {
    /// Makes an inode of the kernel's number, where 0 stands for none.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU64::new(number.into()).map(Self)
    }

    /// Makes the stand-in with this ordinal.
    pub fn stand_in(ordinal: u32) -> Self {
        const BEYOND_THE_KERNELS: NonZeroU64 = NonZeroU64::MIN.saturating_add(u32::MAX as u64);
        Self(BEYOND_THE_KERNELS.saturating_add(ordinal.into()))
    }

    /// The number as the kernel prints it; a stand-in has none.
    pub fn number(self) -> Option<u32> {
        self.0.get().try_into().ok()
    }

    /// Returns whether it stands in for an inode that was not shown.
    pub fn is_stand_in(self) -> bool {
        self.number().is_none()
    }
}

/// A set of inodes. It can be large, and is asked for every descriptor of the machine. The kernel hands
/// inodes out in sequence, and no attacker can choose them, so a simple hash is enough.
pub type InodeSet = FxHashSet<Inode>;

/// The state of a TCP socket (`include/net/tcp_states.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpState {
    /// 1: open in both directions.
    Established,
    /// 2: our SYN is out.
    SynSent,
    /// 3: handshake, or a TCP Fast Open child that already waits in the accept queue.
    SynRecv,
    /// 4: we closed first and wait for the acknowledgement.
    FinWait1,
    /// 5: our close was acknowledged, the peer's is awaited.
    FinWait2,
    /// 6: both closed, the pair of addresses rests.
    TimeWait,
    /// 7: no connection any more.
    Close,
    /// 8: the peer has closed, we have not.
    CloseWait,
    /// 9: both have closed, our last FIN is not acknowledged yet.
    LastAck,
    /// 10: waits for connections.
    Listen,
    /// 11: both closed at once.
    Closing,
    /// A number this program does not know; kept as it is.
    Other(u8),
}

impl TcpState {
    /// Reads the kernel's state number.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            other => Self::Other(other),
        }
    }

    /// The kernel's state number.
    pub fn number(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynRecv => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::TimeWait => 6,
            Self::Close => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listen => 10,
            Self::Closing => 11,
            Self::Other(number) => number,
        }
    }

    /// The state's name as `netstat` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::Other(_) => "UNKNOWN",
        }
    }
}

/// A socket that listens for connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address it is bound to; an unspecified address listens on every one.
    pub local: SocketAddr,
    /// The interface it is bound to with `SO_BINDTODEVICE` (`idiag_if`); 0 for none.
    pub interface: u32,
    /// Its socket inode. A listener always has one, or it could not have been made to listen.
    pub inode: Option<Inode>,
    /// How many connections wait to be accepted, whatever their state (`sk_ack_backlog`; `ss`
    /// Recv-Q of a listener).
    pub accept_queue_len: u32,
    /// Whether the source shows the queue; where not, its length is not known, and
    /// `accept_queue_len` is 0 (`lsof` shows no queues, a selection of columns may not).
    pub queue_is_shown: bool,
    /// How many may wait: min(backlog, somaxconn) (`sk_max_ack_backlog`; `ss` Send-Q of a
    /// listener). The kernel admits one more than this.
    pub accept_queue_limit: Reading<u32>,
    /// Whether an IPv6 listener refuses IPv4 clients (`INET_DIAG_SKV6ONLY`).
    pub v6_only: Option<bool>,
    /// The cgroup v2 of the task that made the listener (`INET_DIAG_CGROUP_ID`, since 5.8).
    pub cgroup: Option<NonZeroU64>,
}

/// A TCP connection, accepted or waiting to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its state.
    pub state: TcpState,
    /// Our end. The client of a dual-stack listener shows as `::ffff:a.b.c.d`.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The interface the socket is bound to (`idiag_if`); 0 for none.
    pub interface: u32,
    /// Its inode; none until it is accepted. A stand-in leaves open whether it was.
    pub inode: Option<Inode>,
    /// Identifies the socket for its lifetime (`idiag_cookie`, since 2.6.14).
    pub cookie: Option<NonZeroU64>,
    /// Received and not yet read: bytes, plus one for a FIN that was not consumed (`rcv_nxt -
    /// copied_seq`; `ss` Recv-Q).
    pub recv_q: u32,
    /// Sent and not yet acknowledged, or not yet sent: bytes (`write_seq - snd_una`; `ss` Send-Q).
    pub send_q: u32,
    /// Whether the source shows the two queues; otherwise both are 0 and mean nothing.
    pub queues_are_shown: bool,
    /// The timer that runs, where the source reports timers.
    pub timer: Reading<Timer>,
    /// The clocks of `tcp_info`, where the source reports them.
    pub ages: Option<TcpAges>,
    /// How many bytes it carried, if the source reports that.
    pub traffic: Option<Traffic>,
    /// The cgroup v2 of the listener's maker, inherited by the child (`INET_DIAG_CGROUP_ID`).
    pub cgroup: Option<NonZeroU64>,
    /// What kind of connection it is.
    pub layer: Layer,
}

impl Connection {
    /// Whether the end of the stream was read, of a connection that has one.
    ///
    /// `None` where the source does not show Recv-Q, and at MPTCP level: there Recv-Q counts memory,
    /// and no FIN.
    pub fn end_was_read(&self) -> Option<bool> {
        let is_known = self.queues_are_shown && !self.layer.is_mptcp();
        (self.state == TcpState::CloseWait && is_known).then_some(self.recv_q == 0)
    }
}

/// The kind of a connection: one program's, or part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A TCP connection.
    Tcp,
    /// A subflow of an MPTCP connection (`INET_DIAG_ULP_INFO`): its inode says nothing, nor does
    /// its state, which stays ESTABLISHED when the peer closes.
    Subflow,
    /// An MPTCP connection; the program has this one, and the kernel its subflows.
    Mptcp {
        /// Whether the kernel says which TCP sockets are subflows. Where it does not, one that was
        /// joined later looks like a connection of its own.
        subflows_marked: bool,
    },
}

impl Layer {
    /// Returns whether it is an MPTCP connection.
    pub fn is_mptcp(self) -> bool {
        matches!(self, Self::Mptcp { .. })
    }
}

/// The timer of a TCP socket (`idiag_timer`, `idiag_expires`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// No timer runs.
    Off,
    /// Retransmission.
    Retransmit,
    /// Keep-alive: fires in this time.
    KeepAlive(Duration),
    /// `FIN_WAIT2` or `TIME_WAIT` remainder: ends in this time.
    TimeWait(Duration),
    /// Probing a window that the peer keeps shut.
    ZeroWindowProbe,
}

/// The bytes that a connection carried (`struct tcp_info`, since 4.1). A count that does not fit is capped:
/// what matters is none, some or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    received: u32,
    acknowledged: u32,
}

impl Traffic {
    /// Makes it of the kernel's counters `tcpi_bytes_received` and `tcpi_bytes_acked`.
    pub fn from_counters(received: u64, acknowledged: u64) -> Self {
        let clamp = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            received: clamp(received),
            acknowledged: clamp(acknowledged),
        }
    }

    /// Bytes that came from the peer. In `CLOSE_WAIT` the kernel counts the FIN as one.
    pub fn received_bytes(self) -> u32 {
        self.received
    }

    /// Bytes that we sent and the peer's kernel acknowledged, at least: of a connection that we opened
    /// the kernel counts the SYN as one.
    pub fn acknowledged_bytes(self) -> u32 {
        self.acknowledged.saturating_sub(1)
    }

    /// Bytes that we sent and the peer's kernel acknowledged, on a connection that came in: its SYN is
    /// not counted.
    pub fn acknowledged_bytes_of_accepted(self) -> u32 {
        self.acknowledged
    }
}

/// Times since something last happened on a connection (`struct tcp_info`), in kernel jiffies
/// rounded to milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpAges {
    /// Milliseconds, as the kernel has them: there can be very many of these.
    data_sent: u32,
    data_recv: u32,
    ack_recv: u32,
}

impl TcpAges {
    /// Makes it of milliseconds since data was sent, since data came, and since an acknowledgement came.
    pub fn from_millis(data_sent: u32, data_recv: u32, ack_recv: u32) -> Self {
        Self {
            data_sent,
            data_recv,
            ack_recv,
        }
    }

    /// Since we last sent data; since the handshake when none was sent (`tcpi_last_data_sent`).
    pub fn last_data_sent(self) -> Duration {
        Duration::from_millis(self.data_sent.into())
    }

    /// Since data last came; since the handshake when none came (`tcpi_last_data_recv`).
    pub fn last_data_recv(self) -> Duration {
        Duration::from_millis(self.data_recv.into())
    }

    /// Since an acknowledgement last came; a FIN carries one (`tcpi_last_ack_recv`).
    pub fn last_ack_recv(self) -> Duration {
        Duration::from_millis(self.ack_recv.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_no_inode_of_the_kernel() {
        let highest = Inode::new(u32::MAX).unwrap();
        assert_eq!(highest.number(), Some(u32::MAX));
        assert!(!highest.is_stand_in());
        for ordinal in [0, u32::MAX] {
            assert!(Inode::stand_in(ordinal) > highest);
            assert!(Inode::stand_in(ordinal).is_stand_in());
        }
    }
}
