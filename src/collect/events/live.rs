//! A trace of the running kernel: loads the programs, hands out what they see, and takes them away again.
//!
//! Programs, maps and attachments belong to descriptors of this process. Nothing is pinned, so nothing is left when
//! it ends, however it ends.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use aya::maps::{Array, HashMap, Map, MapData, RingBuf};
use aya::programs::{BtfTracePoint, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use rustix::thread::{CapabilitySet, capabilities};
use rustix::time::{ClockId, clock_gettime};

use super::TraceError;
use super::decode::{decode_event, whole_micros};
use crate::model::{Event, Pid, PortRange, TraceFilter};

/// Compiled from `bpf/trace.bpf.c` by `bpf/build`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("bpf/trace.bpf.o");

/// The programs of the object, each with its tracepoint.
const PROGRAMS: [(&str, &str); 3] = [
    ("change", "inet_sock_set_state"),
    ("enter", "sys_enter"),
    ("leave", "sys_exit"),
];

/// How long to let events gather. At 20,000 connections a second this fills a fifth of the ring.
const GATHER: Duration = Duration::from_millis(10);

/// The most listeners of one process whose queues are read when it waits (`QUEUES`).
const QUEUES: usize = 4;

/// A set of ports as the program has it, a bit for each.
type PortSet = [u64; 1024];

/// A running trace. It ends when this is dropped.
pub struct Tracer {
    ring: RingBuf<MapData>,
    lost: Array<MapData, u64>,
    start: Duration,
    malformed: u64,
    /// Keeps the programs attached.
    _programs: Ebpf,
}

impl Tracer {
    /// Loads and attaches the programs.
    ///
    /// # Errors
    ///
    /// When the caller may not, or the kernel refuses.
    pub fn start(filter: &TraceFilter) -> Result<Self, TraceError> {
        if !cfg!(target_arch = "x86_64") {
            return Err(TraceError::Architecture);
        }
        if !is_permitted() {
            return Err(TraceError::NotPermitted);
        }
        if !sees_the_kernels_pids() {
            return Err(TraceError::PidNamespace);
        }
        let types = Btf::from_sys_fs().map_err(|error| TraceError::NoTypes(first_line(&error)))?;
        let mut programs = load(filter, &types).map_err(|error| refused(&error))?;
        let ring = take(&mut programs, "events")?;
        let lost = take(&mut programs, "lost")?;
        let start = monotonic_now();
        for (name, tracepoint) in PROGRAMS {
            attach(&mut programs, name, tracepoint, &types)?;
        }
        Ok(Self {
            ring: RingBuf::try_from(ring).map_err(|error| refused(&error))?,
            lost: Array::try_from(lost).map_err(|error| refused(&error))?,
            start,
            malformed: 0,
            _programs: programs,
        })
    }

    /// Returns what has happened since it was asked before; waits for it, but not longer than `at_most`.
    pub fn read(&mut self, at_most: Duration) -> Vec<Event> {
        std::thread::sleep(GATHER.min(at_most));
        let mut events = Vec::new();
        while let Some(bytes) = self.ring.next() {
            match decode_event(&bytes) {
                Some(record) => events.push(record.event(self.start)),
                None => self.malformed += 1,
            }
        }
        // Processors reserve room in one order, and read the clock in another.
        events.sort_by_key(|event| event.at);
        events
    }

    /// Returns how many events found no room, or were not understood.
    pub fn lost(&self) -> u64 {
        self.malformed + self.lost.get(&0, 0).unwrap_or(0)
    }

    /// Returns how long it has been running.
    pub fn elapsed(&self) -> Duration {
        whole_micros(monotonic_now().saturating_sub(self.start))
    }
}

fn load(filter: &TraceFilter, types: &Btf) -> Result<Ebpf, aya::EbpfError> {
    let ports = port_set(&filter.ports);
    let mut programs = EbpfLoader::new()
        .btf(Some(types))
        .override_global("ports", &ports[..], true)
        .override_global("either_end", &u32::from(filter.either_end), true)
        .override_global("only_netns", &filter.netns.unwrap_or(0), true)
        .override_global("only_watched", &u32::from(filter.only_holders), true)
        .load(OBJECT)?;
    if let Some(map) = programs.map_mut("processes") {
        let mut processes = HashMap::<_, u32, [i32; QUEUES + 2]>::try_from(map)?;
        for (pid, fds) in by_process(&filter.holders) {
            processes.insert(pid, watched(&fds), 0)?;
        }
    }
    Ok(programs)
}

fn attach(
    programs: &mut Ebpf,
    name: &str,
    tracepoint: &str,
    types: &Btf,
) -> Result<(), TraceError> {
    let told = |error: &dyn Error| TraceError::Refused(format!("{tracepoint}: {}", chain(error)));
    let program = programs.program_mut(name).ok_or_else(|| missing(name))?;
    let program: &mut BtfTracePoint = program.try_into().map_err(|error| told(&error))?;
    program
        .load(tracepoint, types)
        .map_err(|error: ProgramError| told(&error))?;
    program.attach().map_err(|error| told(&error))?;
    Ok(())
}

fn take(programs: &mut Ebpf, map: &str) -> Result<Map, TraceError> {
    programs.take_map(map).ok_or_else(|| missing(map))
}

fn missing(name: &str) -> TraceError {
    TraceError::Refused(format!("the object has no {name}"))
}

fn refused(error: &dyn Error) -> TraceError {
    TraceError::Refused(chain(error))
}

/// An error and what caused it, without the log of the verifier, which can be megabytes.
fn chain(error: &dyn Error) -> String {
    let mut text = first_line(error);
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = first_line(cause);
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn first_line(error: &dyn Error) -> String {
    const LONGEST: usize = 200;
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(LONGEST).collect()
}

/// Returns whether the capabilities of this thread suffice; without them the loader's errors mislead.
fn is_permitted() -> bool {
    let Ok(sets) = capabilities(None) else {
        return false;
    };
    let tracing = CapabilitySet::BPF | CapabilitySet::PERFMON;
    sets.effective.contains(CapabilitySet::SYS_ADMIN) || sets.effective.contains(tracing)
}

/// Returns whether this process is in the first pid namespace, whose numbers the programs see.
fn sees_the_kernels_pids() -> bool {
    const FIRST: &str = "pid:[4026531836]";
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new(FIRST))
}

/// The clock of `bpf_ktime_get_ns`.
fn monotonic_now() -> Duration {
    clock_gettime(ClockId::Monotonic)
        .try_into()
        .unwrap_or_default()
}

fn port_set(ranges: &[PortRange]) -> PortSet {
    if ranges.is_empty() {
        return [u64::MAX; 1024];
    }
    let mut set = [0; 1024];
    for port in ranges.iter().flat_map(|range| range.first()..=range.last()) {
        set[usize::from(port >> 6)] |= 1 << (port & 63);
    }
    set
}

/// The descriptors of each process, in order.
fn by_process(holders: &[(Pid, u32)]) -> BTreeMap<Pid, Vec<u32>> {
    let mut all: BTreeMap<Pid, Vec<u32>> = BTreeMap::new();
    for (pid, fd) in holders {
        all.entry(*pid).or_default().push(*fd);
    }
    all
}

/// `struct watched`: the descriptors, -1 where there are fewer, their number, and padding.
fn watched(fds: &[u32]) -> [i32; QUEUES + 2] {
    let mut value = [-1; QUEUES + 2];
    let fds = fds.iter().filter_map(|fd| i32::try_from(*fd).ok());
    let mut count = 0;
    for (slot, fd) in value.iter_mut().zip(fds.take(QUEUES)) {
        *slot = fd;
        count += 1;
    }
    value[QUEUES] = count;
    value[QUEUES + 1] = 0;
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_bit() {
        let set = port_set(&[PortRange::from(8080)]);
        assert_eq!(set.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
        assert_eq!(set[8080 / 64], 1 << (8080 % 64));
        assert_eq!(port_set(&[])[1023], u64::MAX);
    }

    #[test]
    fn a_process_has_at_most_four_queues_to_read() {
        assert_eq!(watched(&[3]), [3, -1, -1, -1, 1, 0]);
        assert_eq!(watched(&[3, 4, 5, 6, 7]), [3, 4, 5, 6, 4, 0]);
    }
}
