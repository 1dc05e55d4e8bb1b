//! The least that any program has to ask of the kernel for the same answer: the same dump with the same
//! filter, not decoded; one `readlink` a descriptor; one thread.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use rustix::fs::{CWD, Mode, OFlags, RawDir};

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let port = arguments[0].parse().expect("the floor is given a port");
    let bytes = dump(port).expect("the kernel has inet_diag");
    let links = read_links().expect("there is a /proc");
    println!("{bytes} bytes of sockets, {links} links");
    ExitCode::SUCCESS
}

/// Connections in `CLOSE_WAIT` on a port, with `tcp_info`; over IPv4, as all of the benchmark's are.
fn dump(port: u16) -> io::Result<usize> {
    let mut socket_id = SocketId::new_v4();
    socket_id.source_port = port;
    let request = InetRequest {
        family: AF_INET,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::CLOSE_WAIT,
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let payload = NetlinkPayload::from(SockDiagMessage::InetRequest(request));
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut request = vec![0; message.buffer_len()];
    message.serialize(&mut request);

    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&netlink_sys::SocketAddr::new(0, 0))?;
    socket.send(&request, 0)?;
    let mut bytes = 0;
    let mut datagram = Vec::with_capacity(64 * 1024);
    loop {
        datagram.clear();
        bytes += socket.recv(&mut datagram, 0)?;
        let first = NetlinkBuffer::new_checked(&datagram).map_err(io::Error::other)?;
        if matches!(first.message_type(), NLMSG_DONE | NLMSG_ERROR) {
            return Ok(bytes);
        }
    }
}

fn read_links() -> io::Result<usize> {
    let mut links = 0;
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let procfs = open("/proc")?;
    let mut processes = RawDir::new(procfs.as_fd(), &mut buffer);
    while let Some(process) = processes.next() {
        let name = process?.file_name().to_string_lossy().into_owned();
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            // What ended meanwhile has none.
            links += read_table(&format!("/proc/{name}/fd")).unwrap_or(0);
        }
    }
    Ok(links)
}

fn read_table(path: &str) -> io::Result<usize> {
    let mut links = 0;
    let table = open(path)?;
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut descriptors = RawDir::new(table.as_fd(), &mut buffer);
    while let Some(descriptor) = descriptors.next() {
        let mut target = [MaybeUninit::uninit(); 64];
        links += usize::from(
            rustix::fs::readlinkat_raw(&table, descriptor?.file_name(), &mut target).is_ok(),
        );
    }
    Ok(links)
}

fn open(path: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
