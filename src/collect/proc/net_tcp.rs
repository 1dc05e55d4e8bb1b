//! `/proc/net/tcp` and `/proc/net/tcp6`: the source that remains if `sock_diag` is refused.
//!
//! It knows no queue limit, no ages and no timers, and its table is not read at one moment.

use procfs::FromBufReadSI;
use procfs::net::{TcpNetEntries, TcpNetEntry};

use crate::collect::kernel::{Kernel, KernelError, Kind};
use crate::collect::sock_diag::Wanted;
use crate::model::{
    Connection, Gap, Inode, InodeSet, Layer, Listener, Reading, SocketTable, TcpState,
};

/// The tables as seen by the thread that looks: `/proc/net` would be those of the whole process.
const IPV4: &str = "thread-self/net/tcp";
const IPV6: &str = "thread-self/net/tcp6";

/// Reads both tables; also counts lines that could not be understood.
///
/// # Errors
///
/// When the IPv4 table cannot be read, or one of the two is no table of sockets. A kernel without IPv6
/// has no other.
pub fn read_net_tcp(
    kernel: &mut dyn Kernel,
    wanted: Wanted,
    listeners: &InodeSet,
) -> Result<(SocketTable, usize), KernelError> {
    let (mut table, mut malformed) = parse_net_tcp(&read_table(kernel, IPV4)?, wanted, listeners);
    match read_table(kernel, IPV6) {
        Ok(bytes) => {
            let (more, odd) = parse_net_tcp(&bytes, wanted, listeners);
            table.listeners.extend(more.listeners);
            table.connections.extend(more.connections);
            malformed += odd;
        }
        Err(error) if error.kind == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok((table, malformed))
}

/// Reads the inodes of all sockets that both tables list, in any state.
///
/// # Errors
///
/// As [`read_net_tcp`].
pub fn read_net_tcp_inodes(kernel: &mut dyn Kernel) -> Result<InodeSet, KernelError> {
    let mut inodes = parse_inodes(&read_table(kernel, IPV4)?);
    match read_table(kernel, IPV6) {
        Ok(bytes) => inodes.extend(parse_inodes(&bytes)),
        Err(error) if error.kind == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(inodes)
}

/// Reads one table. One without a header is none, and says nothing about sockets.
fn read_table(kernel: &mut dyn Kernel, path: &str) -> Result<Vec<u8>, KernelError> {
    let bytes = kernel.read(path)?;
    if has_header(&bytes) {
        Ok(bytes)
    } else {
        let detail = "it does not begin as a table of sockets";
        Err(KernelError::malformed(path, detail))
    }
}

fn has_header(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next();
    let mut words = line.unwrap_or_default().split(u8::is_ascii_whitespace);
    words.any(|word| word == b"local_address")
}

fn parse_inodes(bytes: &[u8]) -> InodeSet {
    let lines = bytes.split(|byte| *byte == b'\n').skip(1);
    lines
        .filter_map(parse_line)
        .filter_map(|entry| u32::try_from(entry.inode).ok().and_then(Inode::new))
        .collect()
}

/// Parses one table line by line, so that an odd line loses no other.
pub fn parse_net_tcp(bytes: &[u8], wanted: Wanted, listeners: &InodeSet) -> (SocketTable, usize) {
    let mut table = SocketTable::default();
    let mut malformed = 0;
    for line in bytes.split(|byte| *byte == b'\n').skip(1) {
        if line.is_empty() {
            continue;
        }
        match parse_line(line) {
            Some(entry) => add(&mut table, &entry, wanted, listeners),
            None => malformed += 1,
        }
    }
    (table, malformed)
}

fn parse_line(line: &[u8]) -> Option<TcpNetEntry> {
    // The parser skips a first line, the header.
    let with_header = [b"\n", line].concat();
    let entries =
        TcpNetEntries::from_buf_read(&with_header[..], procfs::current_system_info()).ok()?;
    entries.0.into_iter().next()
}

fn add(table: &mut SocketTable, entry: &TcpNetEntry, wanted: Wanted, listeners: &InodeSet) {
    let Ok(inode) = u32::try_from(entry.inode) else {
        return;
    };
    let inode = Inode::new(inode);
    let state = TcpState::from_number(entry.state.to_u8());
    match state {
        TcpState::Listen => table.listeners.push(Listener {
            local: entry.local_address,
            interface: 0,
            inode,
            accept_queue_len: entry.rx_queue,
            queue_is_shown: true,
            accept_queue_limit: Reading::Unknown(Gap::NotSupported),
            v6_only: None,
            cgroup: None,
        }),
        // A TCP Fast Open child cannot be told from a half-open request here.
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait2 | TcpState::SynSent
            if wanted.keeps(state, inode, listeners) =>
        {
            table.connections.push(Connection {
                state,
                local: entry.local_address,
                remote: entry.remote_address,
                interface: 0,
                inode,
                cookie: None,
                recv_q: entry.rx_queue,
                send_q: entry.tx_queue,
                queues_are_shown: true,
                timer: Reading::Unknown(Gap::NotSupported),
                ages: None,
                cgroup: None,
                traffic: None,
                layer: Layer::Tcp,
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const LISTEN: &str = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000016 00:00000000 00000000     0        0 31415 1 0000000000000000 100 0 0 10 0\n";
    const CLOSE_WAIT: &str = "   1: 0100007F:1F90 0100007F:C73C 08 00000000:0000002E 00:00000000 00000000     0        0 0 1 0000000000000000 20 4 30 10 -1\n";

    #[test]
    fn a_listener_and_a_waiting_connection_of_kernel_6_18() {
        let text = format!("{HEADER}{LISTEN}{CLOSE_WAIT}");
        let (table, malformed) =
            parse_net_tcp(text.as_bytes(), Wanted::Unaccepted, &InodeSet::default());
        assert_eq!(malformed, 0);
        let listener = &table.listeners[0];
        assert_eq!(listener.local, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(listener.accept_queue_len, 22);
        assert_eq!(
            listener.accept_queue_limit,
            Reading::Unknown(Gap::NotSupported)
        );
        let connection = &table.connections[0];
        assert_eq!(connection.state, TcpState::CloseWait);
        assert_eq!((connection.inode, connection.recv_q), (None, 46));
    }

    #[test]
    fn a_file_without_a_header_is_no_table() {
        assert!(has_header(HEADER.as_bytes()));
        for other in ["", "\n", "nonsense", LISTEN] {
            assert!(!has_header(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn inodes_of_every_state_are_collected() {
        let text = format!("{HEADER}{LISTEN}{CLOSE_WAIT}");
        let inodes = parse_inodes(text.as_bytes());
        assert_eq!(inodes, InodeSet::from_iter(Inode::new(31415)));
    }

    #[test]
    fn one_odd_line_does_not_lose_the_table() {
        let odd = LISTEN.replace("0A 0000", "FF 0000");
        let text = format!("{HEADER}{odd}\nnonsense\n\u{1f4a5}\n{LISTEN}{CLOSE_WAIT}");
        let (table, malformed) =
            parse_net_tcp(text.as_bytes(), Wanted::Unaccepted, &InodeSet::default());
        assert_eq!((table.listeners.len(), table.connections.len()), (1, 1));
        assert_eq!(malformed, 3);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>(), line in ".{0,120}") {
            parse_net_tcp(&bytes, Wanted::Unaccepted, &InodeSet::default());
            parse_net_tcp(format!("{HEADER}{line}").as_bytes(), Wanted::Unaccepted, &InodeSet::default());
        }

        #[test]
        fn a_changed_line_never_panics(place in 0_usize..150, byte in any::<u8>()) {
            let mut text = format!("{HEADER}{CLOSE_WAIT}").into_bytes();
            let place = (HEADER.len() + place).min(text.len() - 1);
            text[place] = byte;
            parse_net_tcp(&text, Wanted::Unaccepted, &InodeSet::default());
        }
    }
}
