//! The third phase: samples of suspicious listeners and of the processes that should serve them, a second
//! look, and what threads are blocked on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::looker::Looker;
use crate::collect::proc;
use crate::correlate::{Triage, parse_polled, poll_argument, threads_to_watch};
use crate::model::{
    Examination, Inode, Later, Pid, PortRange, Reading, Sample, Snapshot, SocketSource, Syscall,
    ThreadSample,
};

/// Time between samples. Reading procfs takes longer by itself.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(10);

/// The number of samples of processes that hold unread connections.
const READER_SAMPLES: usize = 3;
const READER_INTERVAL: Duration = Duration::from_millis(2);

impl Looker<'_> {
    /// The third phase: takes samples of suspicious listeners and of the processes that should serve them.
    pub(super) fn watch(&mut self, snapshot: &mut Snapshot, seen: &Triage) {
        if self.options.observe.is_zero() {
            return;
        }
        if seen.listeners.is_empty() {
            self.sample_readers(snapshot, seen);
            return;
        }
        let ports = ports_of(snapshot, &seen.listeners);
        let threads = threads_of(snapshot, &seen.to_watch(snapshot));
        let before = proc::read_dropped_counters(self.kernel).ok();
        let Some(started) = self.now() else { return };
        while let Some(sample) = self.sample(snapshot, &ports, &threads) {
            let done = sample.at.saturating_sub(started) >= self.options.observe
                || self.kernel.is_out_of_time();
            snapshot.samples.push(sample);
            if done {
                break;
            }
            self.kernel.pause(SAMPLE_INTERVAL);
        }
        let after = proc::read_dropped_counters(self.kernel).ok();
        snapshot.dropped = before.zip(after);
    }

    /// One look at a thread may catch it between two waits; a few more cost little.
    pub(super) fn sample_readers(&mut self, snapshot: &mut Snapshot, seen: &Triage) {
        let threads = threads_of(snapshot, &seen.slow_readers(snapshot));
        if threads.is_empty() {
            return;
        }
        for _ in 0..READER_SAMPLES {
            self.kernel.pause(READER_INTERVAL);
            let Some(sample) = self.sample(snapshot, &[], &threads) else {
                return;
            };
            snapshot.samples.push(sample);
        }
    }

    /// Reads the sockets once more, if one look does not decide or the user wants to see them change.
    pub(super) fn look_again(&mut self, snapshot: &mut Snapshot, seen: &Triage) {
        let anything = !seen.is_idle() || !seen.closed_by_peer.is_empty();
        let wanted = seen.second_look || (self.options.observe_asked && anything);
        if !wanted || self.options.observe.is_zero() {
            return;
        }
        let Some(now) = self.now() else { return };
        let since_first = now.saturating_sub(self.progress.sockets_at);
        self.kernel
            .pause(self.options.observe.saturating_sub(since_first));
        let Some(now) = self.now() else { return };
        let after = now.saturating_sub(self.progress.sockets_at);
        snapshot.later = self
            .sockets_of(snapshot.source)
            .ok()
            .map(|(sockets, _)| Later { after, sockets });
    }

    /// Queue lengths, threads, queue lengths. Nothing where the sockets can be read no more.
    pub(super) fn sample(
        &mut self,
        snapshot: &Snapshot,
        ports: &[PortRange],
        threads: &[(Pid, Pid, bool)],
    ) -> Option<Sample> {
        let at = self.now()?;
        let before = self.queue_lengths(snapshot.source, ports)?;
        let threads = threads
            .iter()
            .map(|(pid, tid, compat)| {
                let seen = proc::sample_thread(self.kernel, *pid, *tid, *compat);
                self.with_polled_fds(&snapshot.host.machine, seen)
            })
            .collect();
        Some(Sample {
            at,
            before,
            threads,
            after: self.queue_lengths(snapshot.source, ports)?,
        })
    }

    pub(super) fn queue_lengths(
        &mut self,
        source: SocketSource,
        ports: &[PortRange],
    ) -> Option<BTreeMap<Inode, u32>> {
        if ports.is_empty() {
            return Some(BTreeMap::new());
        }
        let listeners = self.listeners(source, ports).ok()?;
        Some(
            listeners
                .iter()
                .filter_map(|listener| Some((listener.inode?, listener.accept_queue_len)))
                .collect(),
        )
    }

    pub(super) fn with_polled_fds(
        &mut self,
        machine: &str,
        mut seen: ThreadSample,
    ) -> ThreadSample {
        seen.polled_fds = self.polled_fds(machine, seen.pid, seen.syscall);
        seen
    }

    pub(super) fn read_polled_fds(
        &mut self,
        machine: &str,
        pid: Pid,
        examination: &mut Examination,
    ) {
        if let Reading::Known(threads) = &mut examination.threads {
            for thread in threads {
                thread.polled_fds = self.polled_fds(machine, pid, thread.syscall);
            }
        }
    }

    pub(super) fn polled_fds(
        &mut self,
        machine: &str,
        pid: Pid,
        syscall: Reading<Syscall>,
    ) -> Option<Vec<u32>> {
        let argument = poll_argument(machine, &syscall)?;
        let (address, len) = argument.memory();
        let memory = self.kernel.read_at(&format!("{pid}/mem"), address, len);
        memory.ok().map(|memory| parse_polled(argument, &memory))
    }
}

pub(super) fn ports_of(snapshot: &Snapshot, inodes: &[Inode]) -> Vec<PortRange> {
    let ports: BTreeSet<u16> = snapshot
        .sockets
        .listeners
        .iter()
        .filter(|listener| listener.inode.is_some_and(|inode| inodes.contains(&inode)))
        .map(|listener| listener.local.port())
        .collect();
    ports.into_iter().map(PortRange::from).collect()
}

pub(super) fn threads_of(snapshot: &Snapshot, pids: &BTreeSet<Pid>) -> Vec<(Pid, Pid, bool)> {
    let machine = &snapshot.host.machine;
    pids.iter()
        .filter_map(|pid| snapshot.processes.get(pid))
        .flat_map(|process| {
            let compat = process.examination.as_ref().is_some_and(|e| e.compat);
            threads_to_watch(process, machine)
                .into_iter()
                .map(move |tid| (process.pid, tid, compat))
        })
        .collect()
}
