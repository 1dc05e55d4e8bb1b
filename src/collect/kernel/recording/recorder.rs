//! Asks another kernel and writes everything down.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use super::format::{self as recording, Answer, Bytes, Entry, Header, Outcome, Question};
use super::redact::Redactor;
use super::scrub::scrub;
use crate::collect::kernel::{
    DescriptorTables, FoundNamespace, HiddenDescriptors, Kernel, KernelError, LinkHolders,
    SocketDump, UnixSocket, UnlistedSockets,
};
use crate::model::{Host, InodeSet};

/// A kernel whose answers are kept for a recording.
pub struct Recorder<'kernel> {
    kernel: &'kernel mut dyn Kernel,
    /// Where it is now.
    netns: Option<String>,
    entries: Vec<Entry>,
}

impl<'kernel> Recorder<'kernel> {
    /// Records what is asked of the given kernel from now on.
    pub fn new(kernel: &'kernel mut dyn Kernel) -> Self {
        Self {
            kernel,
            netns: None,
            entries: Vec::new(),
        }
    }

    /// Writes the recording.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(mut self, mut header: Header, file: &mut dyn Write) -> io::Result<()> {
        if header.redacted {
            Redactor::default().redact(&mut header, &mut self.entries);
        }
        recording::write(&header, &self.entries, file)
    }

    fn note<T: Clone>(
        &mut self,
        ask: Question,
        answer: Result<T, KernelError>,
        form: impl FnOnce(T) -> Answer,
    ) -> Result<T, KernelError> {
        let outcome = match &answer {
            Ok(value) => Outcome::Answer(form(value.clone())),
            Err(error) => Outcome::Error(error.clone()),
        };
        self.entries.push(Entry {
            netns: self.netns.clone().filter(|_| ask.depends_on_netns()),
            ask,
            outcome,
        });
        answer
    }
}

impl Kernel for Recorder<'_> {
    fn host(&mut self) -> Host {
        self.kernel.host()
    }

    fn namespaces(&mut self) -> Result<Vec<FoundNamespace>, KernelError> {
        let answer = self.kernel.namespaces();
        self.note(Question::Namespaces, answer, Answer::Namespaces)
    }

    fn enter(&mut self, namespace: &FoundNamespace) -> Result<(), KernelError> {
        let answer = self.kernel.enter(namespace);
        self.netns = None;
        let question = Question::Enter(namespace.path.clone());
        let answer = self.note(question, answer, |()| Answer::Entered);
        self.netns = Some(namespace.path.clone());
        answer
    }

    fn enter_named(&mut self, name: &str) -> Result<(), KernelError> {
        self.kernel.enter_named(name)
    }

    fn is_recorded(&self) -> bool {
        self.kernel.is_recorded()
    }

    fn elapsed(&mut self) -> Result<Duration, KernelError> {
        let answer = self.kernel.elapsed();
        self.note(Question::Elapsed, answer, Answer::Time)
    }

    fn pause(&mut self, time: Duration) {
        self.kernel.pause(time);
    }

    fn dump_sockets(
        &mut self,
        request: &SocketDump,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KernelError> {
        let mut datagrams = Vec::new();
        let answer = self.kernel.dump_sockets(request, &mut |bytes| {
            let mut kept = bytes.to_vec();
            scrub(&mut kept);
            datagrams.push(Bytes(kept));
            sink(bytes)
        });
        self.note(Question::Sockets(request.clone()), answer, |()| {
            Answer::Datagrams(datagrams)
        })
    }

    fn is_out_of_time(&self) -> bool {
        self.kernel.is_out_of_time()
    }

    fn begin_look(&mut self, budget: Duration) {
        self.netns = None;
        self.kernel.begin_look(budget);
    }

    fn end_look(&mut self) -> Result<(), KernelError> {
        self.kernel.end_look()
    }

    fn expect_descriptor_tables(&mut self) {
        self.kernel.expect_descriptor_tables();
    }

    fn descriptor_tables(&mut self, wanted: &InodeSet) -> Result<DescriptorTables, KernelError> {
        let answer = self.kernel.descriptor_tables(wanted);
        self.note(Question::DescriptorTables, answer, Answer::Tables)
    }

    fn hidden_descriptors(&mut self, wanted: &InodeSet) -> Result<HiddenDescriptors, KernelError> {
        let answer = self.kernel.hidden_descriptors(wanted);
        self.note(Question::HiddenDescriptors, answer, Answer::Hidden)
    }

    fn unlisted_sockets(
        &mut self,
        listed: Option<&InodeSet>,
    ) -> Result<UnlistedSockets, KernelError> {
        let answer = self.kernel.unlisted_sockets(listed);
        self.note(Question::UnlistedSockets, answer, Answer::Unlisted)
    }

    fn link_holders(&mut self, targets: &BTreeSet<String>) -> Result<LinkHolders, KernelError> {
        let answer = self.kernel.link_holders(targets);
        let question = Question::LinkHolders(targets.clone());
        self.note(question, answer, Answer::Links)
    }

    fn unix_sockets(&mut self) -> Result<Vec<UnixSocket>, KernelError> {
        let answer = self.kernel.unix_sockets();
        self.note(Question::UnixSockets, answer, Answer::UnixSockets)
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, KernelError> {
        let answer = self.kernel.read(path);
        self.note(Question::Read(path.to_owned()), answer, |bytes| {
            Answer::Bytes(Bytes(bytes))
        })
    }

    fn read_at(&mut self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, KernelError> {
        let answer = self.kernel.read_at(path, offset, len);
        self.note(Question::ReadAt(path.to_owned(), offset), answer, |bytes| {
            Answer::Bytes(Bytes(bytes))
        })
    }

    fn read_link(&mut self, path: &str) -> Result<String, KernelError> {
        let answer = self.kernel.read_link(path);
        self.note(Question::ReadLink(path.to_owned()), answer, Answer::Text)
    }

    fn list_lowest(&mut self, path: &str, most: usize) -> Result<Vec<u32>, KernelError> {
        let answer = self.kernel.list_lowest(path, most);
        self.note(
            Question::ListNumbers(path.to_owned()),
            answer,
            Answer::Numbers,
        )
    }

    fn list_numbers(&mut self, path: &str) -> Result<Vec<u32>, KernelError> {
        let answer = self.kernel.list_numbers(path);
        self.note(
            Question::ListNumbers(path.to_owned()),
            answer,
            Answer::Numbers,
        )
    }
}
