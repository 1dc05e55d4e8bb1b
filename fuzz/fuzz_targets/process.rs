//! A process that fills its files as it likes: name, command line, cgroup, mounts, status, executable, mappings, memory,
//! registrations. It is examined as a suspect is.
#![no_main]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use arbitrary::Arbitrary;
use closewait_doctor::collect::kernel::{
    DescriptorTable, DescriptorTables, FoundNamespace, HiddenDescriptors, Kernel, KernelError,
    LinkHolders, SocketDump, UnixSocket, UnlistedSockets,
};
use closewait_doctor::collect::proc;
use closewait_doctor::model::{Host, InodeSet};
use libfuzzer_sys::fuzz_target;

const PID: u32 = 7;

/// What the files of the process hold, by the last part of their path; a file without content is not there.
#[derive(Debug, Arbitrary)]
struct Files<'a> {
    stat: &'a [u8],
    status: &'a [u8],
    limits: &'a [u8],
    cmdline: &'a [u8],
    cgroup: &'a [u8],
    mountinfo: &'a [u8],
    frozen: &'a [u8],
    fdinfo: &'a [u8],
    syscall: &'a [u8],
    children: &'a [u8],
    maps: &'a [u8],
    exe: &'a [u8],
    mem: &'a [u8],
    uptime: &'a [u8],
    locks: &'a [u8],
    link: &'a str,
    numbers: Vec<u8>,
}

impl Files<'_> {
    fn content(&self, path: &str) -> &[u8] {
        let name = path.rsplit('/').next().unwrap_or_default();
        match name {
            "stat" => self.stat,
            "status" => self.status,
            "limits" => self.limits,
            "cmdline" => self.cmdline,
            "cgroup" => self.cgroup,
            "mountinfo" => self.mountinfo,
            "cgroup.events" | "cgroup.freeze" | "freezer.state" | "wchan" => self.frozen,
            "syscall" => self.syscall,
            "children" => self.children,
            "maps" => self.maps,
            "exe" => self.exe,
            "mem" => self.mem,
            "uptime" => self.uptime,
            "locks" => self.locks,
            _ => self.fdinfo,
        }
    }
}

impl Kernel for Files<'_> {
    fn host(&mut self) -> Host {
        Host {
            hostname: String::new(),
            kernel: String::new(),
            machine: String::new(),
        }
    }

    fn namespaces(&mut self) -> Result<Vec<FoundNamespace>, KernelError> {
        Ok(Vec::new())
    }

    fn enter(&mut self, _: &FoundNamespace) -> Result<(), KernelError> {
        Ok(())
    }

    fn enter_named(&mut self, _: &str) -> Result<(), KernelError> {
        Ok(())
    }

    fn elapsed(&mut self) -> Result<Duration, KernelError> {
        Ok(Duration::ZERO)
    }

    fn pause(&mut self, _: Duration) {}

    fn dump_sockets(
        &mut self,
        _: &SocketDump,
        _: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KernelError> {
        Err(KernelError::unsupported("sock_diag"))
    }

    fn descriptor_tables(&mut self, _: &InodeSet) -> Result<DescriptorTables, KernelError> {
        Ok(DescriptorTables::default())
    }

    fn hidden_descriptors(&mut self, _: &InodeSet) -> Result<HiddenDescriptors, KernelError> {
        Ok(HiddenDescriptors::default())
    }

    fn unlisted_sockets(&mut self, _: Option<&InodeSet>) -> Result<UnlistedSockets, KernelError> {
        Ok(UnlistedSockets::default())
    }

    fn link_holders(&mut self, _: &BTreeSet<String>) -> Result<LinkHolders, KernelError> {
        Ok(LinkHolders::default())
    }

    fn unix_sockets(&mut self) -> Result<Vec<UnixSocket>, KernelError> {
        Ok(Vec::new())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, KernelError> {
        match self.content(path) {
            [] => Err(KernelError::gone(path)),
            content => Ok(content.to_owned()),
        }
    }

    fn read_at(&mut self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, KernelError> {
        let content = self.content(path);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = content.get(start..).unwrap_or_default();
        Ok(rest[..rest.len().min(len)].to_owned())
    }

    fn read_link(&mut self, _: &str) -> Result<String, KernelError> {
        Ok(self.link.to_owned())
    }

    fn list_numbers(&mut self, _: &str) -> Result<Vec<u32>, KernelError> {
        Ok(self
            .numbers
            .iter()
            .map(|number| u32::from(*number))
            .collect())
    }

    fn list_lowest(&mut self, path: &str, most: usize) -> Result<Vec<u32>, KernelError> {
        let mut numbers = self.list_numbers(path)?;
        numbers.sort_unstable();
        numbers.truncate(most.saturating_add(1));
        Ok(numbers)
    }
}

fuzz_target!(|files: Files<'_>| {
    let mut kernel = files;
    let table = DescriptorTable {
        pid: PID,
        through: PID,
        epolls: vec![4],
        ..DescriptorTable::default()
    };
    let process = proc::read_process(&mut kernel, PID);
    let command_line = process
        .as_ref()
        .and_then(|process| process.command_line.known().cloned());
    let seen = proc::examine_process(&mut kernel, &table, &command_line.unwrap_or_default());
    proc::read_origin(&mut kernel, PID);
    proc::sample_thread(&mut kernel, PID, PID, false);
    if let Some(threads) = seen.threads.known() {
        proc::read_children(&mut kernel, PID, threads);
        for thread in threads {
            proc::read_futex(&mut kernel, PID, thread);
        }
    }
    let _ = proc::read_descriptors(&mut kernel, PID, 16, |_| None);
    let _ = proc::read_locks(&mut kernel);
    let _ = proc::read_access(&mut kernel, PID, 3);
    proc::read_in_flight(&mut kernel, PID, 3);
    proc::read_uptime(&mut kernel);
});
