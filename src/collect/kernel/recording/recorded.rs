//! Answers from a recording.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

use super::format::{Answer, Header, Outcome, Question, RecordingError};
use super::stream;
use crate::collect::kernel::{
    DescriptorTables, FoundNamespace, HiddenDescriptors, Kernel, KernelError, LinkHolders,
    SocketDump, UnixSocket, UnlistedSockets,
};
use crate::model::{Host, InodeSet, PortRange};

/// No look takes longer. A damaged recording may hold a time that cannot even be added to another.
const LONGEST_LOOK: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A kernel that says again what it said when it was recorded.
///
/// A question that was asked several times is answered in the recorded order, and from then on
/// with the last answer.
#[derive(Clone)]
pub struct RecordedKernel {
    header: Header,
    /// Where it is now.
    netns: Option<String>,
    answers: HashMap<(Option<String>, Question), VecDeque<Outcome>>,
    /// The answer to the last question, where it will not be given again.
    last: Option<Outcome>,
}

impl RecordedKernel {
    /// Reads a recording.
    ///
    /// # Errors
    ///
    /// When the file is no recording, or not a whole one.
    pub fn read_from(file: impl Read) -> Result<Self, RecordingError> {
        let mut answers: HashMap<_, VecDeque<Outcome>> = HashMap::new();
        let header = stream::read(file, |entry| {
            let question = match entry.ask {
                // Whoever replays may ask for fewer ports; the decoder sorts them out.
                Question::Sockets(dump) => Question::Sockets(without_ports(&dump)),
                other => other,
            };
            answers
                .entry((entry.netns, question))
                // Most questions are asked once.
                .or_insert_with(|| VecDeque::with_capacity(1))
                .push_back(entry.outcome);
        })?;
        Ok(Self {
            header,
            netns: None,
            last: None,
            answers,
        })
    }

    /// What the recording says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns whether all of the given ports were in the recording's scope.
    pub fn covers(&self, ports: &[PortRange]) -> bool {
        let recorded = &self.header.scope.ports;
        recorded.is_empty()
            || (!ports.is_empty()
                && ports
                    .iter()
                    .all(|range| recorded.iter().any(|wide| wide.covers(*range))))
    }

    /// The question as it was recorded: a dump of more states answers one of fewer, and the decoder sorts them out.
    fn recorded(&self, netns: Option<String>, question: &Question) -> (Option<String>, Question) {
        let key = (netns, question.clone());
        let Question::Sockets(wanted) = question else {
            return key;
        };
        if self.answers.contains_key(&key) {
            return key;
        }
        let wider = self.answers.keys().filter(|(netns, recorded)| {
            let Question::Sockets(dump) = recorded else {
                return false;
            };
            // Remainders of closed sockets are in states that may not be wanted at all.
            let narrowed = SocketDump {
                states: wanted.states,
                full_sockets_only: wanted.full_sockets_only,
                ..dump.clone()
            };
            *netns == key.0 && narrowed == *wanted && dump.states & wanted.states == wanted.states
        });
        let narrowest = wider.min_by_key(|(_, recorded)| match recorded {
            Question::Sockets(dump) => dump.states.count_ones(),
            _ => u32::MAX,
        });
        narrowest.cloned().unwrap_or(key)
    }

    /// A copy of the next answer.
    fn next(&mut self, question: &Question) -> Result<Answer, KernelError> {
        self.look_up(question).cloned()
    }

    /// The next answer. A dump is large, so it is not copied.
    fn look_up(&mut self, question: &Question) -> Result<&Answer, KernelError> {
        let netns = self.netns.clone().filter(|_| question.depends_on_netns());
        let key = self.recorded(netns, question);
        let missing = || KernelError::not_recorded(describe(question));
        let outcomes = self.answers.get_mut(&key).ok_or_else(missing)?;
        // What stays as it is may be asked again; time does not stand still.
        let outcome = if outcomes.len() > 1 || *question == Question::Elapsed {
            self.last = outcomes.pop_front();
            self.last.as_ref()
        } else {
            outcomes.front()
        };
        match outcome.ok_or_else(missing)? {
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Error(error) => Err(error.clone()),
        }
    }
}

fn without_ports(dump: &SocketDump) -> SocketDump {
    SocketDump {
        ports: Vec::new(),
        ..dump.clone()
    }
}

fn describe(question: &Question) -> String {
    match question {
        Question::Namespaces => "network namespaces".to_owned(),
        Question::Elapsed => "the clock".to_owned(),
        Question::Sockets(_) => "sock_diag".to_owned(),
        Question::DescriptorTables => "the descriptors of processes".to_owned(),
        Question::HiddenDescriptors => "hidden descriptors".to_owned(),
        Question::LinkHolders(_) => "which processes hold pipes and files".to_owned(),
        Question::UnixSockets => "unix sockets".to_owned(),
        Question::UnlistedSockets => "sockets that no dump lists".to_owned(),
        Question::Enter(path)
        | Question::Read(path)
        | Question::ReadAt(path, _)
        | Question::ReadLink(path)
        | Question::ListNumbers(path) => path.clone(),
    }
}

/// A damaged recording can hold an answer of the wrong form.
fn wrong_form(question: &Question) -> KernelError {
    KernelError::malformed(describe(question), "the recorded answer has another form")
}

impl Kernel for RecordedKernel {
    fn host(&mut self) -> Host {
        self.header.host.clone().into()
    }

    fn namespaces(&mut self) -> Result<Vec<FoundNamespace>, KernelError> {
        let question = Question::Namespaces;
        match self.next(&question)? {
            Answer::Namespaces(namespaces) => Ok(namespaces),
            _ => Err(wrong_form(&question)),
        }
    }

    fn begin_look(&mut self, _budget: Duration) {
        self.netns = None;
    }

    fn enter_named(&mut self, _: &str) -> Result<(), KernelError> {
        Ok(())
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn enter(&mut self, namespace: &FoundNamespace) -> Result<(), KernelError> {
        self.netns = Some(namespace.path.clone());
        let question = Question::Enter(namespace.path.clone());
        match self.next(&question)? {
            Answer::Entered => Ok(()),
            _ => Err(wrong_form(&question)),
        }
    }

    fn elapsed(&mut self) -> Result<Duration, KernelError> {
        let question = Question::Elapsed;
        match self.next(&question)? {
            Answer::Time(elapsed) if elapsed <= LONGEST_LOOK => Ok(elapsed),
            _ => Err(wrong_form(&question)),
        }
    }

    fn pause(&mut self, _: Duration) {}

    fn dump_sockets(
        &mut self,
        request: &SocketDump,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), KernelError> {
        let question = Question::Sockets(without_ports(request));
        let Answer::Datagrams(datagrams) = self.look_up(&question)? else {
            return Err(wrong_form(&question));
        };
        for datagram in datagrams {
            if sink(&datagram.0).is_break() {
                return Ok(());
            }
        }
        Err(KernelError::malformed(
            describe(&question),
            "the recorded dump has no end",
        ))
    }

    fn descriptor_tables(&mut self, _: &InodeSet) -> Result<DescriptorTables, KernelError> {
        let question = Question::DescriptorTables;
        match self.next(&question)? {
            Answer::Tables(tables) => Ok(tables),
            _ => Err(wrong_form(&question)),
        }
    }

    fn hidden_descriptors(&mut self, _: &InodeSet) -> Result<HiddenDescriptors, KernelError> {
        let question = Question::HiddenDescriptors;
        match self.next(&question)? {
            Answer::Hidden(hidden) => Ok(hidden),
            _ => Err(wrong_form(&question)),
        }
    }

    fn unlisted_sockets(&mut self, _: Option<&InodeSet>) -> Result<UnlistedSockets, KernelError> {
        let question = Question::UnlistedSockets;
        match self.next(&question)? {
            Answer::Unlisted(unlisted) => Ok(unlisted),
            _ => Err(wrong_form(&question)),
        }
    }

    fn link_holders(&mut self, targets: &BTreeSet<String>) -> Result<LinkHolders, KernelError> {
        let question = Question::LinkHolders(targets.clone());
        match self.next(&question)? {
            Answer::Links(holders) => Ok(holders),
            _ => Err(wrong_form(&question)),
        }
    }

    fn unix_sockets(&mut self) -> Result<Vec<UnixSocket>, KernelError> {
        let question = Question::UnixSockets;
        match self.next(&question)? {
            Answer::UnixSockets(sockets) => Ok(sockets),
            _ => Err(wrong_form(&question)),
        }
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, KernelError> {
        let question = Question::Read(path.to_owned());
        match self.next(&question)? {
            Answer::Bytes(bytes) => Ok(bytes.0),
            _ => Err(wrong_form(&question)),
        }
    }

    fn read_at(&mut self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, KernelError> {
        let question = Question::ReadAt(path.to_owned(), offset);
        match self.next(&question)? {
            Answer::Bytes(bytes) if bytes.0.len() <= len => Ok(bytes.0),
            _ => Err(wrong_form(&question)),
        }
    }

    fn read_link(&mut self, path: &str) -> Result<String, KernelError> {
        let question = Question::ReadLink(path.to_owned());
        match self.next(&question)? {
            Answer::Text(target) => Ok(target),
            _ => Err(wrong_form(&question)),
        }
    }

    fn list_numbers(&mut self, path: &str) -> Result<Vec<u32>, KernelError> {
        let question = Question::ListNumbers(path.to_owned());
        match self.next(&question)? {
            Answer::Numbers(numbers) => Ok(numbers),
            _ => Err(wrong_form(&question)),
        }
    }

    fn list_lowest(&mut self, path: &str, most: usize) -> Result<Vec<u32>, KernelError> {
        let mut numbers = self.list_numbers(path)?;
        numbers.sort_unstable();
        numbers.truncate(most.saturating_add(1));
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::kernel::Kind;

    fn elapsed(time: Duration) -> Result<Duration, KernelError> {
        let answers = VecDeque::from([Outcome::Answer(Answer::Time(time))]);
        let recording = include_bytes!("../../../../tests/recordings/unread-eof/silent.rec");
        let mut kernel = RecordedKernel::read_from(&recording[..]).unwrap();
        kernel.answers = HashMap::from([((None, Question::Elapsed), answers)]);
        kernel.elapsed()
    }

    #[test]
    fn a_time_that_no_look_takes_is_damage() {
        assert_eq!(elapsed(LONGEST_LOOK).unwrap(), LONGEST_LOOK);
        let beyond = elapsed(LONGEST_LOOK + Duration::from_nanos(1));
        assert_eq!(beyond.unwrap_err().kind, Kind::Malformed);
        assert_eq!(elapsed(Duration::MAX).unwrap_err().kind, Kind::Malformed);
    }
}
