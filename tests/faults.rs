//! One failing call is never enough for a false all-clear: looks at sick hosts are replayed, and each request
//! of each look fails once with each error that a kernel may give.
#![expect(clippy::disallowed_methods, reason = "the recordings are files")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::iter;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use closewait_doctor::collect::kernel::{
    DescriptorTables, FoundNamespace, HiddenDescriptors, Kernel, KernelError, LinkHolders,
    RecordedKernel, SocketDump, UnixSocket, UnlistedSockets,
};
use closewait_doctor::look::{self, LookOptions};
use closewait_doctor::model::{Host, InodeSet};
use closewait_doctor::report::{Check, Status, Thresholds, Verdict};

/// Errors that any system call may give: ENOENT, EIO, EACCES, EMFILE, ENOMEM.
const ERRORS: [i32; 5] = [2, 5, 13, 24, 12];

/// Answers as another kernel does, but for one request.
struct Faulty<K> {
    inner: K,
    /// How many requests have come.
    asked: usize,
    /// The request that fails, counted from 0, and its error.
    fails: Option<(usize, i32)>,
    /// What the request was that failed.
    failed: Option<String>,
}

impl<K: Kernel> Faulty<K> {
    fn new(inner: K, fails: Option<(usize, i32)>) -> Self {
        Self {
            inner,
            asked: 0,
            fails,
            failed: None,
        }
    }

    fn ask<T>(
        &mut self,
        what: &str,
        ask: impl FnOnce(&mut K) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        let number = self.asked;
        self.asked += 1;
        match self.fails {
            Some((fails, errno)) if fails == number => {
                self.failed = Some(what.to_owned());
                let error = io::Error::from_raw_os_error(errno);
                Err(KernelError::new(what, &error))
            }
            _ => ask(&mut self.inner),
        }
    }
}

impl<K: Kernel> Kernel for Faulty<K> {
    fn host(&mut self) -> Host {
        self.inner.host()
    }

    fn namespaces(&mut self) -> Result<Vec<FoundNamespace>, KernelError> {
        self.ask("namespaces", Kernel::namespaces)
    }

    fn enter(&mut self, namespace: &FoundNamespace) -> Result<(), KernelError> {
        self.ask("enter", |inner| inner.enter(namespace))
    }

    fn enter_named(&mut self, name: &str) -> Result<(), KernelError> {
        self.ask("enter", |inner| inner.enter_named(name))
    }

    fn is_recorded(&self) -> bool {
        self.inner.is_recorded()
    }

    fn elapsed(&mut self) -> Result<Duration, KernelError> {
        // The clock of a live kernel does not fail.
        self.inner.elapsed()
    }

    fn pause(&mut self, time: Duration) {
        self.inner.pause(time);
    }

    fn dump_sockets(
        &mut self,
        request: &SocketDump,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KernelError> {
        self.ask("sock_diag", |inner| inner.dump_sockets(request, sink))
    }

    fn begin_look(&mut self, budget: Duration) {
        self.inner.begin_look(budget);
    }

    fn end_look(&mut self) -> Result<(), KernelError> {
        self.inner.end_look()
    }

    fn descriptor_tables(&mut self, wanted: &InodeSet) -> Result<DescriptorTables, KernelError> {
        self.ask("descriptor tables", |inner| inner.descriptor_tables(wanted))
    }

    fn hidden_descriptors(&mut self, wanted: &InodeSet) -> Result<HiddenDescriptors, KernelError> {
        self.ask("hidden descriptors", |inner| {
            inner.hidden_descriptors(wanted)
        })
    }

    fn unlisted_sockets(
        &mut self,
        listed: Option<&InodeSet>,
    ) -> Result<UnlistedSockets, KernelError> {
        self.ask("unlisted sockets", |inner| inner.unlisted_sockets(listed))
    }

    fn link_holders(&mut self, targets: &BTreeSet<String>) -> Result<LinkHolders, KernelError> {
        self.ask("link holders", |inner| inner.link_holders(targets))
    }

    fn unix_sockets(&mut self) -> Result<Vec<UnixSocket>, KernelError> {
        self.ask("unix sockets", Kernel::unix_sockets)
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, KernelError> {
        self.ask(path, |inner| inner.read(path))
    }

    fn read_at(&mut self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, KernelError> {
        self.ask(path, |inner| inner.read_at(path, offset, len))
    }

    fn read_link(&mut self, path: &str) -> Result<String, KernelError> {
        self.ask(path, |inner| inner.read_link(path))
    }

    fn list_numbers(&mut self, path: &str) -> Result<Vec<u32>, KernelError> {
        self.ask(path, |inner| inner.list_numbers(path))
    }

    fn list_lowest(&mut self, path: &str, most: usize) -> Result<Vec<u32>, KernelError> {
        self.ask(path, |inner| inner.list_lowest(path, most))
    }
}

fn sick_recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let kinds = std::fs::read_dir(folder).expect("the folder is there");
    let mut found: Vec<PathBuf> = kinds
        .map(|kind| kind.expect("it can be read").path().join("sick.rec"))
        .filter(|file| file.exists())
        .collect();
    found.sort();
    found
}

/// What one look with a fault came to.
struct Outcome {
    verdict: Verdict,
    status: Status,
    asked: usize,
    failed: Option<String>,
}

/// Takes a look; nothing where it could not look at all, which is exit status 3.
fn look_with(recorded: &RecordedKernel, fails: Option<(usize, i32)>) -> Option<Outcome> {
    let options = LookOptions::of_recording(recorded.header());
    let mut kernel = Faulty::new(recorded.clone(), fails);
    let report = look::take(&mut kernel, &options)
        .ok()?
        .report("2026-01-01T00:00:00Z");
    let thresholds = Thresholds::new(&[], &[]).expect("no thresholds are valid");
    Some(Outcome {
        verdict: report.verdict,
        status: Check::new(&report, &thresholds).status,
        asked: kernel.asked,
        failed: kernel.failed,
    })
}

/// Lets each request of a look at a sick host fail once with each error.
///
/// Returns how many faults there were, and which of them made the look panic or find the host healthy.
fn fail_each(recording: &Path) -> (usize, Vec<String>) {
    let file = File::open(recording).expect("the recording is there");
    let recorded = RecordedKernel::read_from(file).expect("it is a recording");
    let whole = look_with(&recorded, None).expect("the look succeeds");
    if whole.status == Status::Ok {
        // What is found there is no alarm.
        return (0, Vec::new());
    }
    let faults = (0..whole.asked).flat_map(|number| ERRORS.map(|errno| (number, errno)));
    let wrong = faults.filter_map(|(number, errno)| {
        let run = || look_with(&recorded, Some((number, errno)));
        let what = format!("{}, request {number}, error {errno}", recording.display());
        match catch_unwind(AssertUnwindSafe(run)) {
            Err(_) => Some(format!("{what}: panic")),
            Ok(Some(one)) if one.verdict == Verdict::Healthy || one.status == Status::Ok => {
                Some(format!("{what}: healthy after {:?} failed", one.failed))
            }
            Ok(_) => None,
        }
    });
    let wrong = wrong.collect();
    (whole.asked * ERRORS.len(), wrong)
}

#[test]
fn a_single_failing_request_never_makes_a_sick_host_healthy() {
    let left = Mutex::new(sick_recordings());
    let next = || left.lock().expect("no thread panics").pop();
    let work = || iter::from_fn(next).map(|recording| fail_each(&recording));
    let done: Vec<(usize, Vec<String>)> = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| work().collect::<Vec<_>>()));
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("it does not panic"))
            .collect()
    });
    let runs: usize = done.iter().map(|(runs, _)| runs).sum();
    let wrong: Vec<&String> = done.iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(runs > 1000, "only {runs} faults");
    assert!(wrong.is_empty(), "of {runs}: {wrong:#?}");
}
