//! The least that any program has to ask of the kernel for the same answer: the same dump with the same
//! filter, decoded by nobody; one `readlink` a descriptor; one thread.

use std::io;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use closewait_doctor::collect::kernel::{DiagProtocol, Kernel, LiveKernel, SocketDump};
use closewait_doctor::collect::sock_diag::decode_datagram;
use rustix::fs::{CWD, Mode, OFlags, RawDir};

/// Connections in `CLOSE_WAIT`, over IPv4 as all of the benchmark's are.
const CLOSE_WAIT: u32 = 1 << 8;

pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let ports = arguments
        .iter()
        .map(|port| port.parse().expect("the floor is given ports"))
        .collect();
    let bytes = dump(ports);
    let links = read_links().expect("there is a /proc");
    println!("{bytes} bytes of sockets, {links} links");
    ExitCode::SUCCESS
}

fn dump(ports: Vec<closewait_doctor::model::PortRange>) -> usize {
    let mut kernel = LiveKernel::new(Path::new("/proc"));
    let request = SocketDump {
        protocol: DiagProtocol::Tcp,
        ipv6: false,
        states: CLOSE_WAIT,
        ports,
        tcp_info: true,
        full_sockets_only: false,
    };
    let mut bytes = 0;
    let mut sink = |datagram: &[u8]| {
        bytes += datagram.len();
        // Only the end has to be seen, and that comes alone.
        let end = datagram.len() < 64
            && decode_datagram(datagram, &mut |_, _| false, &mut |_| {})
                .end
                .is_some();
        if end {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    kernel
        .dump_sockets(&request, &mut sink)
        .expect("the kernel has inet_diag");
    bytes
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

fn open(path: &str) -> io::Result<std::os::fd::OwnedFd> {
    Ok(rustix::fs::openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
