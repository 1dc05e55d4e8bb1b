//! The running kernel.

#[cfg(feature = "bpf")]
mod bpf;
mod descriptors;
mod hidden;
mod links;
mod namespaces;
mod unix;
mod unlisted;

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use netlink_packet_core::{
    DefaultNla, Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::collect::kernel::{
    DescriptorTables, DiagProtocol, FoundNamespace, HiddenDescriptors, Kernel, KernelError,
    LinkHolders, SocketDump, UnixSocket, UnlistedSockets,
};
use crate::collect::netns;
use crate::collect::sock_diag::filter;
use crate::model::{Host, InodeSet, Pid};
use descriptors::{for_each_number, open_directory};

/// Process 1 lives as long as its pid namespace; whoever is not shown it is not shown all.
const FIRST_PROCESS: Pid = 1;

/// The kernel never fills more than 32 KiB of a dump at once, but remembers the largest buffer it
/// was offered; one size for all reads avoids truncation, and 64 KiB pages need the larger one.
const RECEIVE_BYTES: usize = 64 * 1024;

/// Some hundred connections. Who has so many that one end has closed is most likely asked who holds
/// them, so the search may begin while the others come.
const MANY_BYTES: usize = 4 * RECEIVE_BYTES;

/// How long a dump may stay silent before it is given up.
const SILENCE: Duration = Duration::from_secs(5);

/// `INET_DIAG_REQ_BYTECODE` of `linux/inet_diag.h`, not among the crate's constants.
const INET_DIAG_REQ_BYTECODE: u16 = 1;

/// Nor is `INET_DIAG_REQ_PROTOCOL`, which takes the protocol's number where a byte is too small for
/// it. An older kernel overlooks it, and the byte then asks for raw sockets.
const INET_DIAG_REQ_PROTOCOL: u16 = 3;
const IPPROTO_IN_ATTRIBUTE: u8 = 255;
const IPPROTO_MPTCP: u32 = 262;

/// Asks the kernel this program runs on, within the network namespace of the calling thread.
pub struct LiveKernel {
    procfs: PathBuf,
    started: Instant,
    socket: Option<Socket>,
    /// What the last pass over all descriptors found by the way.
    #[cfg(feature = "bpf")]
    closed: Option<Vec<bpf::ClosedSockets>>,
    /// A pass over all descriptors that goes on while sockets are dumped.
    #[cfg(feature = "bpf")]
    begun_pass: Option<std::thread::JoinHandle<Option<bpf::Pass>>>,
    /// Whether this look has not asked for holders yet.
    #[cfg(feature = "bpf")]
    holders_unknown: bool,
    #[cfg(feature = "bpf")]
    passes: std::sync::Arc<bpf::Passes>,
}

impl LiveKernel {
    /// Prepares to look through the given procfs mount; nothing is asked yet.
    pub fn new(procfs: &Path) -> Self {
        Self {
            procfs: procfs.to_owned(),
            started: Instant::now(),
            socket: None,
            #[cfg(feature = "bpf")]
            closed: None,
            #[cfg(feature = "bpf")]
            begun_pass: None,
            #[cfg(feature = "bpf")]
            holders_unknown: true,
            #[cfg(feature = "bpf")]
            passes: std::sync::Arc::default(),
        }
    }

    fn tables_of(&mut self, pids: &[Pid], wanted: &InodeSet) -> DescriptorTables {
        #[cfg(feature = "bpf")]
        {
            self.holders_unknown = false;
        }
        #[cfg(feature = "bpf")]
        if let Some(mut pass) = self.pass(wanted) {
            let closed = std::mem::take(&mut pass.closed);
            if let Some(mut found) = pass.tables(&self.procfs, wanted) {
                self.closed = Some(closed);
                found.processes = pids.len();
                return found;
            }
        }
        descriptors::read_tables(&self.procfs, pids, wanted)
    }

    /// The pass that was begun meanwhile, or a new one. What came after the former went by is found by
    /// the latter.
    #[cfg(feature = "bpf")]
    fn pass(&mut self, wanted: &InodeSet) -> Option<bpf::Pass> {
        self.finished_pass()
            .filter(|pass| pass.finds_all(wanted))
            .or_else(|| self.passes.run(&self.procfs))
    }

    #[cfg(feature = "bpf")]
    fn finished_pass(&mut self) -> Option<bpf::Pass> {
        let begun = self.begun_pass.take();
        begun.and_then(|thread| thread.join().ok().flatten())
    }

    #[cfg(feature = "bpf")]
    fn begin_pass(&mut self) {
        if !self.holders_unknown || self.begun_pass.is_some() {
            return;
        }
        let (procfs, passes) = (self.procfs.clone(), self.passes.clone());
        // A host that has no thread to give is looked at without.
        self.begun_pass = std::thread::Builder::new()
            .spawn(move || passes.run(&procfs))
            .ok();
    }

    /// Sockets whose connection is gone, by their own word.
    #[cfg(feature = "bpf")]
    fn closed_sockets(&mut self) -> Result<UnlistedSockets, KernelError> {
        let closed = self.closed.take().or_else(|| {
            let pass = self.finished_pass();
            let pass = pass.or_else(|| self.passes.run(&self.procfs));
            pass.map(|pass| pass.closed)
        });
        let closed = closed.ok_or_else(cannot_tell_closed)?;
        unlisted::of_closed(&self.procfs, &closed)
            .map_err(|error| KernelError::new("thread-self/ns/net", &error))
    }

    #[cfg(not(feature = "bpf"))]
    #[expect(clippy::unused_self, reason = "with the feature it is used")]
    fn closed_sockets(&mut self) -> Result<UnlistedSockets, KernelError> {
        Err(cannot_tell_closed())
    }

    /// What this program inherited from whoever started it is no finding.
    fn other_processes(&mut self) -> Result<Vec<Pid>, KernelError> {
        let own = self.read_link("self").ok();
        let own: Option<Pid> = own.and_then(|own| own.parse().ok());
        let mut pids = self.list_numbers("")?;
        pids.retain(|pid| Some(*pid) != own);
        Ok(pids)
    }

    /// The socket of the last dump, or a new one.
    fn diag_socket(&mut self) -> Result<Socket, KernelError> {
        if let Some(socket) = self.socket.take() {
            return Ok(socket);
        }
        open_diag_socket().map_err(|error| KernelError::new(DIAG, &error))
    }
}

/// Opens a socket that asks `sock_diag` about the network namespace of the calling thread.
fn open_diag_socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(SILENCE))?;
    Ok(socket)
}

const DIAG: &str = "sock_diag";

fn cannot_tell_closed() -> KernelError {
    let error = io::Error::from(io::ErrorKind::Unsupported);
    KernelError::new("closed sockets", &error)
}

impl Kernel for LiveKernel {
    fn host(&mut self) -> Host {
        let uname = rustix::system::uname();
        let text = |name: &CStr| name.to_string_lossy().into_owned();
        Host {
            hostname: text(uname.nodename()),
            kernel: text(uname.release()),
            machine: text(uname.machine()),
        }
    }

    fn namespaces(&mut self) -> Result<Vec<FoundNamespace>, KernelError> {
        let pids = self.list_numbers("")?;
        Ok(namespaces::find(&self.procfs, &pids))
    }

    fn enter(&mut self, path: &str) -> Result<(), KernelError> {
        let there = std::fs::read_link(self.procfs.join(path)).ok();
        let here = std::fs::read_link(self.procfs.join("thread-self/ns/net")).ok();
        // Staying needs no privilege.
        if there.is_some() && there == here {
            return Ok(());
        }
        // A netlink socket stays in the namespace it was opened in.
        self.socket = None;
        netns::enter_path(&self.procfs.join(path))
    }

    fn elapsed(&mut self) -> Result<Duration, KernelError> {
        Ok(self.started.elapsed())
    }

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn dump_sockets(
        &mut self,
        request: &SocketDump,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KernelError> {
        let socket = self.diag_socket()?;
        let mut received = 0;
        let dumped = dump(&socket, request, &mut |datagram| {
            received += datagram.len();
            if request.is_of_half_closed() && received >= MANY_BYTES {
                self.expect_descriptor_tables();
            }
            sink(datagram)
        });
        // What is left of a broken dump must not be taken for the next one's answer.
        if dumped.is_ok() {
            self.socket = Some(socket);
        }
        dumped.map_err(|error| KernelError::new(DIAG, &error))
    }

    fn begin_look(&mut self) {
        #[cfg(feature = "bpf")]
        {
            self.begun_pass = None;
            self.closed = None;
            self.holders_unknown = true;
        }
    }

    fn expect_descriptor_tables(&mut self) {
        #[cfg(feature = "bpf")]
        self.begin_pass();
    }

    fn descriptor_tables(&mut self, wanted: &InodeSet) -> Result<DescriptorTables, KernelError> {
        let pids = self.other_processes()?;
        let unlisted = !pids.contains(&FIRST_PROCESS);
        let mut found = self.tables_of(&pids, wanted);
        found.unlisted = unlisted;
        Ok(found)
    }

    fn hidden_descriptors(&mut self, wanted: &InodeSet) -> Result<HiddenDescriptors, KernelError> {
        let pids = self.list_numbers("")?;
        Ok(hidden::search(&self.procfs, &pids, wanted))
    }

    fn unlisted_sockets(
        &mut self,
        listed: Option<&InodeSet>,
    ) -> Result<UnlistedSockets, KernelError> {
        let Some(listed) = listed else {
            return self.closed_sockets();
        };
        let pids = self.list_numbers("")?;
        unlisted::search(&self.procfs, &pids, listed)
            .map_err(|error| KernelError::new("thread-self/ns/net", &error))
    }

    fn link_holders(&mut self, targets: &BTreeSet<String>) -> Result<LinkHolders, KernelError> {
        let pids = self.other_processes()?;
        Ok(links::search(&self.procfs, &pids, targets))
    }

    fn unix_sockets(&mut self) -> Result<Vec<UnixSocket>, KernelError> {
        unix::dump().map_err(|error| KernelError::new(DIAG, &error))
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, KernelError> {
        let mut bytes = Vec::new();
        File::open(self.procfs.join(path))
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| KernelError::new(path, &error))?;
        Ok(bytes)
    }

    fn read_at(&mut self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, KernelError> {
        let mut bytes = vec![0; len];
        let read = File::open(self.procfs.join(path))
            .and_then(|file| file.read_at(&mut bytes, offset))
            .map_err(|error| KernelError::new(path, &error))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn read_link(&mut self, path: &str) -> Result<String, KernelError> {
        std::fs::read_link(self.procfs.join(path))
            .map(|target| target.to_string_lossy().into_owned())
            .map_err(|error| KernelError::new(path, &error))
    }

    fn list_numbers(&mut self, path: &str) -> Result<Vec<u32>, KernelError> {
        let list = || -> io::Result<Vec<u32>> {
            let directory = open_directory(&self.procfs.join(path))?;
            let mut numbers = Vec::new();
            for_each_number(directory.as_fd(), |number, _| numbers.push(number))?;
            Ok(numbers)
        };
        list().map_err(|error| KernelError::new(path, &error))
    }
}

/// A dump request with attributes, for which the packet crate has no field.
struct ExtendedRequest {
    request: InetRequest,
    attributes: Vec<DefaultNla>,
}

impl NetlinkSerializable for ExtendedRequest {
    fn message_type(&self) -> u16 {
        SOCK_DIAG_BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        self.request.buffer_len() + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (request, attributes) = buffer.split_at_mut(self.request.buffer_len());
        self.request.emit(request);
        self.attributes.as_slice().emit(attributes);
    }
}

fn encode(dump: &SocketDump) -> Vec<u8> {
    let filter = filter::bytecode(&dump.ports, dump.full_sockets_only);
    let protocol = (dump.protocol == DiagProtocol::Mptcp).then(|| {
        let number = IPPROTO_MPTCP.to_ne_bytes().to_vec();
        DefaultNla::new(INET_DIAG_REQ_PROTOCOL, number)
    });
    let request = ExtendedRequest {
        request: InetRequest {
            family: if dump.ipv6 { AF_INET6 } else { AF_INET },
            protocol: match dump.protocol {
                DiagProtocol::Tcp => IPPROTO_TCP,
                DiagProtocol::Mptcp => IPPROTO_IN_ATTRIBUTE,
            },
            extensions: if dump.tcp_info {
                ExtensionFlags::INFO
            } else {
                ExtensionFlags::empty()
            },
            states: StateFlags::from_bits_retain(dump.states),
            socket_id: SocketId::new_v4(),
        },
        attributes: filter
            .map(|code| DefaultNla::new(INET_DIAG_REQ_BYTECODE, code))
            .into_iter()
            .chain(protocol)
            .collect(),
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn dump(
    socket: &Socket,
    request: &SocketDump,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    socket.send(&encode(request), 0)?;
    let mut buffer = Vec::with_capacity(RECEIVE_BYTES);
    loop {
        buffer.clear();
        let length = match socket.recv(&mut buffer, MSG_TRUNC) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received?,
        };
        if length > buffer.len() {
            return Err(io::Error::other(format!(
                "a datagram of {length} bytes does not fit the buffer"
            )));
        }
        if sink(&buffer).is_break() {
            return Ok(());
        }
    }
}

/// `MSG_TRUNC`: the true length of a datagram that did not fit is returned (`recv(2)`).
const MSG_TRUNC: i32 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(protocol: DiagProtocol) -> Vec<u8> {
        encode(&SocketDump {
            protocol,
            ipv6: false,
            states: 1 << 8,
            ports: Vec::new(),
            tcp_info: false,
            full_sockets_only: false,
        })
    }

    #[test]
    fn mptcp_is_asked_for_as_ss_does() {
        let tcp = request(DiagProtocol::Tcp);
        let mptcp = request(DiagProtocol::Mptcp);
        // sdiag_protocol follows the message's header of 16 bytes and sdiag_family.
        assert_eq!((tcp[17], mptcp[17]), (6, 255));
        let mut attribute = vec![8, 0, 3, 0]; // length, INET_DIAG_REQ_PROTOCOL
        attribute.extend(262_u32.to_ne_bytes());
        assert_eq!(mptcp[tcp.len()..], attribute);
        assert_eq!(usize::from(mptcp[0]), mptcp.len());
    }

    fn is_unlisted(pids: &[&str]) -> bool {
        let procfs = tempfile::tempdir().unwrap();
        for pid in pids {
            std::fs::create_dir(procfs.path().join(pid)).unwrap();
        }
        let mut kernel = LiveKernel::new(procfs.path());
        let tables = kernel.descriptor_tables(&InodeSet::default()).unwrap();
        tables.unlisted
    }

    #[test]
    fn a_list_without_process_1_is_not_the_list_of_all() {
        assert!(is_unlisted(&["7"]));
        assert!(!is_unlisted(&["1", "7"]));
    }
}
