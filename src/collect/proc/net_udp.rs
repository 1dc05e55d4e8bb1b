//! `/proc/net/udp` and `/proc/net/udp6`.

use std::net::SocketAddr;

use procfs::FromBufReadSI;
use procfs::net::{UdpNetEntries, UdpNetEntry};

use crate::collect::kernel::{Kernel, KernelError, Kind};
use crate::model::{Inode, UdpSocket};

/// The tables as seen by the thread that looks.
const IPV4: &str = "thread-self/net/udp";
const IPV6: &str = "thread-self/net/udp6";

/// More are not read: they are looked at for the one that a thread waits for.
const MOST_SOCKETS: usize = 50_000;

/// Reads the UDP sockets of this network namespace.
///
/// # Errors
///
/// When the IPv4 table cannot be read. A kernel without IPv6 has no other.
pub fn read_udp_sockets(kernel: &mut dyn Kernel) -> Result<Vec<UdpSocket>, KernelError> {
    let mut sockets = parse_net_udp(&kernel.read(IPV4)?);
    match kernel.read(IPV6) {
        Ok(bytes) => sockets.extend(parse_net_udp(&bytes)),
        Err(error) if error.kind == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(sockets)
}

/// Parses one table line by line: an odd line loses no other.
fn parse_net_udp(bytes: &[u8]) -> Vec<UdpSocket> {
    let lines = bytes.split(|byte| *byte == b'\n').skip(1);
    lines.take(MOST_SOCKETS).filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<UdpSocket> {
    // The parser skips a first line, the header.
    let with_header = [b"\n", line].concat();
    let entries =
        UdpNetEntries::from_buf_read(&with_header[..], procfs::current_system_info()).ok()?;
    let entry: UdpNetEntry = entries.0.into_iter().next()?;
    Some(UdpSocket {
        inode: Inode::new(u32::try_from(entry.inode).ok()?)?,
        local: entry.local_address,
        remote: connected_to(entry.remote_address),
    })
}

/// A socket that is not connected has the port 0 there.
fn connected_to(remote: SocketAddr) -> Option<SocketAddr> {
    (remote.port() != 0).then_some(remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL_6_18: &[u8] = b"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
          10: 0100007F:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 71 2 0000000000000000 0\n\
          11: 0100007F:B3A1 0100007F:14E9 01 00000000:00000000 00:00000000 00000000     0        0 72 2 0000000000000000 0\n\
          nonsense\n";

    #[test]
    fn a_connected_socket_has_a_remote_address() {
        let sockets = parse_net_udp(KERNEL_6_18);
        let remotes: Vec<Option<SocketAddr>> = sockets.iter().map(|one| one.remote).collect();
        let server = "127.0.0.1:5353".parse().unwrap();
        assert_eq!(remotes, [None, Some(server)]);
        assert_eq!(sockets[0].local, server);
    }
}
