//! The running kernel.

#[cfg(feature = "bpf")]
mod bpf;
mod descriptors;
mod dump;
mod filter;
pub(super) mod hidden;
#[cfg(feature = "bpf")]
mod holder_pass;
mod links;
mod namespaces;
#[cfg(not(feature = "bpf"))]
mod no_pass;
mod timed_reads;
mod travel;
mod unaccounted;
pub(super) mod unix;
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

use netlink_sys::Socket;

use crate::collect::kernel::{
    DescriptorTables, FoundNamespace, HiddenDescriptors, Kernel, KernelError, LinkHolders,
    SocketDump, UnixSocket, UnlistedSockets,
};
use crate::collect::rights;
use crate::model::{Host, InodeSet, Pid};
use descriptors::{first_numbers, for_each_number, open_directory};
use dump::RECEIVE_BYTES;
#[cfg(feature = "bpf")]
use holder_pass::HolderPass;
use links::LinkSearch;
use namespaces::Namespaces;
#[cfg(not(feature = "bpf"))]
use no_pass::HolderPass;
use timed_reads::{TimedReads, may_block};
use travel::Travel;

/// Process 1 lives as long as its pid namespace; if it is not shown, not all processes are.
const FIRST_PROCESS: Pid = 1;

/// The size of some hundred connections. With that many that one end has closed, their holders will most
/// likely be needed, so the search may begin while the rest is received.
const MANY_BYTES: usize = 4 * RECEIVE_BYTES;

const DIAG: &str = "sock_diag";

/// So much of a file that a process fills as it likes is read.
const MOST_BYTES_OF_A_PROCESS: u64 = 64 * 1024;

/// As many bytes of a file are read: what a process may make as long as it likes is cut.
fn most_bytes(path: &str) -> u64 {
    if path.ends_with("/cmdline") || path.ends_with("/environ") {
        MOST_BYTES_OF_A_PROCESS
    } else {
        u64::MAX
    }
}

/// Asks the kernel this program runs on, within the network namespace of the calling thread.
pub struct LiveKernel {
    procfs: PathBuf,
    pass: HolderPass,
    timed_reads: TimedReads,
    look: OneLook,
}

/// What belongs to one look, and is thrown away with it.
struct OneLook {
    started: Instant,
    /// How long it may take.
    budget: Duration,
    /// The socket of the last dump, of the namespace in which the thread is.
    socket: Option<Socket>,
    /// Who holds pipes and the like, as seen from the namespace in which the thread is.
    links: LinkSearch,
    travel: Travel,
}

impl OneLook {
    fn begin(budget: Duration) -> Self {
        Self {
            started: Instant::now(),
            budget,
            socket: None,
            links: LinkSearch::default(),
            travel: Travel::default(),
        }
    }
}

impl LiveKernel {
    /// Prepares to look through the given procfs mount; nothing is asked yet.
    pub fn new(procfs: &Path) -> Self {
        Self {
            procfs: procfs.to_owned(),
            pass: HolderPass::default(),
            timed_reads: TimedReads::default(),
            look: OneLook::begin(Duration::MAX),
        }
    }

    fn tables_of(&mut self, pids: &[Pid], wanted: &InodeSet) -> DescriptorTables {
        match self.pass.tables(&self.procfs, wanted) {
            Some(mut found) => {
                found.processes = pids.len();
                found
            }
            None => descriptors::read_tables(&self.procfs, pids, wanted),
        }
    }

    /// Descriptors that this program inherited are no finding.
    fn other_processes(&mut self) -> Result<Vec<Pid>, KernelError> {
        let own = self.read_link("self").ok();
        let own: Option<Pid> = own.and_then(|own| own.parse().ok());
        let mut pids = self.list_numbers("")?;
        pids.retain(|pid| Some(*pid) != own);
        Ok(pids)
    }

    /// The socket of the last dump, or a new one.
    fn diag_socket(&mut self) -> Result<Socket, KernelError> {
        match self.look.socket.take() {
            Some(socket) => Ok(socket),
            None => dump::open().map_err(|error| KernelError::new(DIAG, &error)),
        }
    }

    /// Reads below procfs, with a deadline for reads that may block.
    fn ask(
        &mut self,
        path: &str,
        read: impl FnOnce(&Path) -> io::Result<Vec<u8>> + Send + 'static,
    ) -> Result<Vec<u8>, KernelError> {
        let file = self.procfs.join(path);
        let answer = match may_block(path) {
            Some(pid) => self.timed_reads.ask(pid, move || read(&file)),
            None => read(&file),
        };
        answer.map_err(|error| KernelError::new(path, &error))
    }

    /// A netlink socket stays in the namespace it was opened in, and what was seen gets old on the way.
    fn note_move(&mut self, moved: Result<bool, KernelError>) -> Result<(), KernelError> {
        if moved? {
            self.look.socket = None;
            self.look.links = LinkSearch::default();
        }
        Ok(())
    }
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

    fn begin_look(&mut self, budget: Duration) {
        // Without them less can be read; blind spots say so.
        let _ = rights::raise(&self.procfs);
        self.timed_reads.begin_look();
        self.look = OneLook::begin(budget);
    }

    fn is_out_of_time(&self) -> bool {
        self.look.started.elapsed() > self.look.budget
    }

    fn end_look(&mut self) -> Result<(), KernelError> {
        self.pass.end_look();
        let home = self.look.travel.go_home();
        self.look.socket = None;
        self.look.links = LinkSearch::default();
        rights::lower().map_err(|error| KernelError::new("capabilities", &error))?;
        home
    }

    fn namespaces(&mut self) -> Result<Vec<FoundNamespace>, KernelError> {
        let pids = self.list_numbers("")?;
        let Namespaces { found, held } = namespaces::find(&self.procfs, &pids);
        self.look.travel.hold(held);
        Ok(found)
    }

    fn enter(&mut self, namespace: &FoundNamespace) -> Result<(), KernelError> {
        let moved = self.look.travel.enter(&self.procfs, namespace);
        self.note_move(moved)
    }

    fn enter_named(&mut self, name: &str) -> Result<(), KernelError> {
        // The caller may name any path.
        rights::lower().map_err(|error| KernelError::new("capabilities", &error))?;
        let moved = self.look.travel.enter_named(&self.procfs, name);
        let _ = rights::raise(&self.procfs);
        self.note_move(moved)
    }

    fn elapsed(&mut self) -> Result<Duration, KernelError> {
        Ok(self.look.started.elapsed())
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
        let dumped = dump::dump(&socket, request, &mut |datagram| {
            received += datagram.len();
            if request.is_of_half_closed() && received >= MANY_BYTES {
                self.expect_descriptor_tables();
            }
            sink(datagram)
        });
        // What is left of a broken dump must not be taken for the next one's answer.
        if dumped.is_ok() {
            self.look.socket = Some(socket);
        }
        dumped.map_err(|error| KernelError::new(DIAG, &error))
    }

    fn expect_descriptor_tables(&mut self) {
        self.pass.begin(&self.procfs);
    }

    fn descriptor_tables(&mut self, wanted: &InodeSet) -> Result<DescriptorTables, KernelError> {
        let pids = self.other_processes()?;
        let unlisted = !pids.contains(&FIRST_PROCESS);
        let mut found = self.tables_of(&pids, wanted);
        found.unlisted = unlisted;
        self.look.links.note_sockets(&found.tables);
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
            return self.pass.closed_sockets(&self.procfs);
        };
        let pids = self.list_numbers("")?;
        unlisted::search(&self.procfs, &pids, listed)
            .map_err(|error| KernelError::new("thread-self/ns/net", &error))
    }

    fn link_holders(&mut self, targets: &BTreeSet<String>) -> Result<LinkHolders, KernelError> {
        let pids = self.other_processes()?;
        Ok(self.look.links.holders(&self.procfs, &pids, targets))
    }

    fn unix_sockets(&mut self) -> Result<Vec<UnixSocket>, KernelError> {
        unix::dump().map_err(|error| KernelError::new(DIAG, &error))
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, KernelError> {
        let most = most_bytes(path);
        self.ask(path, move |path| {
            let mut bytes = Vec::new();
            File::open(path)?.take(most).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    fn read_at(&mut self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, KernelError> {
        self.ask(path, move |path| {
            let mut bytes = vec![0; len];
            let read = File::open(path)?.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            Ok(bytes)
        })
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

    /// The kernel lists descriptors in order (`proc_readfd_common`), so that the rest of a long table need not be read.
    fn list_lowest(&mut self, path: &str, most: usize) -> Result<Vec<u32>, KernelError> {
        let list = || -> io::Result<Vec<u32>> {
            let directory = open_directory(&self.procfs.join(path))?;
            first_numbers(directory.as_fd(), most.saturating_add(1))
        };
        list().map_err(|error| KernelError::new(path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::kernel::Kind;

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
    fn a_read_that_never_returns_is_given_up_and_others_are_answered() {
        let procfs = tempfile::tempdir().unwrap();
        std::fs::create_dir(procfs.path().join("7")).unwrap();
        std::fs::write(procfs.path().join("7/stat"), "here").unwrap();
        // Opening a named pipe waits until another process writes to it.
        let pipe = procfs.path().join("7/cmdline");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        let mut kernel = LiveKernel::new(procfs.path());
        kernel.begin_look(Duration::MAX);
        for _ in 0..2 {
            assert_eq!(kernel.read("7/cmdline").unwrap_err().kind, Kind::TimedOut);
        }
        assert_eq!(kernel.read("7/stat").unwrap(), b"here");
    }

    #[test]
    fn a_look_is_out_of_time_when_its_budget_is_used_up() {
        let mut kernel = LiveKernel::new(Path::new("/proc"));
        kernel.begin_look(Duration::MAX);
        assert!(!kernel.is_out_of_time());
        kernel.begin_look(Duration::ZERO);
        assert!(kernel.is_out_of_time());
    }

    #[test]
    fn a_list_without_process_1_is_not_the_list_of_all() {
        assert!(is_unlisted(&["7"]));
        assert!(!is_unlisted(&["1", "7"]));
    }
}
