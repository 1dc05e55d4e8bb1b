//! Descriptors of all processes in one pass inside the kernel: the BPF iterator `task_file`, since 5.8,
//! with a helper that came in 5.11. It costs a fifth to a tenth of following each link of `/proc/PID/fd`.
//!
//! It takes `CAP_BPF` and `CAP_PERFMON` (or `CAP_SYS_ADMIN`), `CAP_SYS_PTRACE`, and the kernel's type
//! information; where one is missing, `/proc` is read instead. The holders that are found are the same.

mod btf;
mod found;
mod gather;
mod program;
mod syscall;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use rustix::thread::CapabilitySet;

use btf::{Layout, Names, Sections};
pub(super) use found::{ClosedSockets, Pass};
use gather::Gatherer;
use program::{RECORD_BYTES, Record};

/// Whose processes and threads the iterator numbers as `/proc` does: the inode of the first pid
/// namespace (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// With fewer open files on the machine, following links is over before a program is loaded: that takes
/// as long as some 1,500 links.
const WORTHWHILE_FILES: u64 = 3000;

/// The kernel fills at most 32 KiB at once.
const READ_BYTES: usize = 32 * 1024;

/// What passes have in common.
#[derive(Debug, Default)]
pub(super) struct Passes {
    types: Mutex<Types>,
}

/// The kernel's type information, which is read once.
#[derive(Debug, Default)]
enum Types {
    #[default]
    Unread,
    Read(Layout),
    /// It has none, or refused a program.
    OfNoUse,
}

impl Passes {
    /// Passes over all descriptors; nothing where it is not possible or not worthwhile, or where it
    /// would not say the same as `/proc`.
    pub(super) fn run(&self, procfs: &Path) -> Option<Pass> {
        if !is_worthwhile(procfs) || !is_permitted() || !sees_what_procfs_shows(procfs) {
            return None;
        }
        let mut types = self.types.lock().ok()?;
        if let Types::Unread = *types {
            *types = read_layout().map_or(Types::OfNoUse, Types::Read);
        }
        let Types::Read(layout) = &*types else {
            return None;
        };
        let pass = pass(layout);
        if pass.is_none() {
            *types = Types::OfNoUse;
        }
        pass
    }
}

fn pass(layout: &Layout) -> Option<Pass> {
    let iterator = syscall::open_iterator(&program::assemble(layout), layout.iterator).ok()?;
    let mut gatherer = Gatherer::new(std::process::id());
    for_each_record(iterator, |record| gatherer.add(record)).ok()?;
    Some(gatherer.finish())
}

/// The first number of `fs.file-nr`: open files of the whole machine.
fn is_worthwhile(procfs: &Path) -> bool {
    let text = std::fs::read_to_string(procfs.join("sys/fs/file-nr")).unwrap_or_default();
    let files: Option<u64> = text
        .split_whitespace()
        .next()
        .and_then(|number| number.parse().ok());
    files.is_some_and(|files| files >= WORTHWHILE_FILES)
}

/// Loading a program needs `CAP_BPF` and `CAP_PERFMON`. Without the right to trace other processes the pass
/// would show holders that cannot be judged.
fn is_permitted() -> bool {
    let Ok(capabilities) = rustix::thread::capabilities(None) else {
        return false;
    };
    let has = |wanted| capabilities.effective.contains(wanted);
    let may_load =
        has(CapabilitySet::BPF | CapabilitySet::PERFMON) || has(CapabilitySet::SYS_ADMIN);
    may_load && has(CapabilitySet::SYS_PTRACE)
}

/// The iterator shows the processes of the reader's pid namespace under the numbers that they have in
/// the first one.
fn sees_what_procfs_shows(procfs: &Path) -> bool {
    let link = |name: &str| std::fs::read_link(procfs.join(name)).ok();
    let own = std::process::id().to_string();
    link("self").is_some_and(|pid| pid == Path::new(&own))
        && link("self/ns/pid").is_some_and(|namespace| namespace == Path::new(FIRST_PID_NAMESPACE))
}

/// Passes through the type information of the running kernel.
fn read_layout() -> Option<Layout> {
    let file = File::open("/sys/kernel/btf/vmlinux").ok()?;
    let mut header = [0; btf::HEADER_BYTES];
    file.read_exact_at(&mut header, 0).ok()?;
    let sections = Sections::decode(&header)?;
    let mut names = Names::new();
    feed(&file, sections.strings, |bytes| names.feed(bytes))?;
    let mut types = btf::Types::new(&names)?;
    feed(&file, sections.types, |bytes| types.feed(bytes))?;
    types.layout()
}

/// Hands a part of a file to a parser that takes what it understands off the front.
fn feed(
    file: &File,
    part: Range<u64>,
    mut parser: impl FnMut(&[u8]) -> Option<usize>,
) -> Option<()> {
    let mut buffer = Vec::new();
    let mut at = part.start;
    while at < part.end {
        let kept = buffer.len();
        let wanted = usize::try_from(part.end - at).ok()?.min(READ_BYTES);
        buffer.resize(kept + wanted, 0);
        let read = file.read_at(&mut buffer[kept..], at).ok()?;
        if read == 0 {
            return None;
        }
        at += read as u64;
        buffer.truncate(kept + read);
        let fed = parser(&buffer)?;
        buffer.drain(..fed);
    }
    buffer.is_empty().then_some(())
}

fn for_each_record(mut iterator: File, mut each: impl FnMut(Record)) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    // Each read ends with a whole record, unless the buffer is smaller than what is there.
    let mut kept = 0;
    loop {
        let read = match iterator.read(&mut buffer[kept..]) {
            // The kernel has looked at very many files without a word, and asks to be called again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            read => read?,
        };
        if read == 0 {
            return Ok(());
        }
        let filled = kept + read;
        let (records, rest) = buffer[..filled].as_chunks::<RECORD_BYTES>();
        records.iter().map(Record::decode).for_each(&mut each);
        kept = rest.len();
        buffer.copy_within(filled - kept..filled, 0);
    }
}
