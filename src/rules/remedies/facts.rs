//! The facts of a finding that remedies depend on.

use crate::model::{Pid, Process, Software};
use crate::rules::Advice;

/// What a command begins with in the text of a remedy.
const COMMAND: &str = "$ ";

/// What a rule has found to be the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum Cause {
    /// The thread waits for one descriptor, or polls some.
    Descriptor,
    /// It sleeps for a time.
    Nap,
    /// It uses a processor.
    Computes,
    /// It waits for another thread.
    Lock,
    /// It waits in the kernel for a disk, a network file system or a driver.
    Kernel,
    /// It does something else, or that does not show.
    Elsewhere,
    /// The thread of the event loop has ended.
    LoopEnded,
    /// No thread is left that waits.
    NoThread,
    /// An idle event loop leaves it out.
    LeftOut,
    /// It is watched without its input events.
    NoInput,
    /// It is watched one-shot and not re-armed.
    SpentOneShot,
    /// Only a supervisor holds it.
    Supervisor,
    /// Only a process holds it that has inherited it from one that has ended.
    Orphan,
    /// An edge was used up.
    LostEdge,
    /// All descriptors are used up.
    AtLimit,
    /// The process does not run.
    Halted,
    /// The event loop does something else.
    LoopBusy,
    /// There is no event loop, and a thread does something else.
    NoLoop,
    /// Nothing is known.
    Unclear,
    /// The end was read, or may have been, and the program does not close.
    NotClosed,
    /// Several processes hold it.
    Shared,
    /// A pool keeps it.
    Pool,
}

impl Cause {
    /// Returns whether general advice on a server's code does not apply to it.
    pub(super) fn is_special(self) -> bool {
        match self {
            Self::Kernel | Self::LoopEnded | Self::Supervisor | Self::Orphan | Self::Halted => true,
            Self::Descriptor
            | Self::Nap
            | Self::Computes
            | Self::Lock
            | Self::Elsewhere
            | Self::NoThread
            | Self::LeftOut
            | Self::NoInput
            | Self::SpentOneShot
            | Self::LostEdge
            | Self::AtLimit
            | Self::LoopBusy
            | Self::NoLoop
            | Self::Unclear
            | Self::NotClosed
            | Self::Shared
            | Self::Pool => false,
        }
    }
}

/// A statement about the process that is known to be true. What is absent is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum Claim {
    /// The program has just one thread.
    SingleThread,
    /// The program has several threads.
    ManyThreads,
    /// The end of the stream was read.
    EndRead,
    /// Connections that were accepted from the listener are open.
    HasClients,
    /// A child is started for each connection.
    HandsOn,
    /// A process that has inherited it runs another program than the one it has it from.
    Helper,
    /// Their number grows.
    Grows,
    /// The runtime registers everything edge-triggered by itself, and drains it.
    RuntimeEdges,
}

/// The facts of one finding.
#[derive(Debug)]
pub(in crate::rules) struct Facts {
    pub finding: &'static str,
    pub cause: Cause,
    pub software: Software,
    claims: Vec<Claim>,
    pid: Pid,
    tid: Pid,
    name: String,
    heir: String,
    place: String,
}

impl Facts {
    /// What is known of a process by itself.
    pub(in crate::rules) fn of(
        finding: &'static str,
        cause: Cause,
        process: Option<&Process>,
    ) -> Self {
        let examination = process.and_then(|process| process.examination.as_ref());
        let software = examination.map_or(Software::default(), |one| one.software.clone());
        let threads = examination.and_then(|one| one.threads.known());
        let mut claims = Vec::new();
        claims.extend(threads.map(|threads| match threads.len() {
            0 | 1 => Claim::SingleThread,
            _ => Claim::ManyThreads,
        }));
        if software.registers_edge_triggered() {
            claims.push(Claim::RuntimeEdges);
        }
        let pid = process.map_or(0, |process| process.pid);
        Self {
            finding,
            cause,
            software,
            claims,
            pid,
            tid: pid,
            name: process.map_or(
                "the process".to_owned(),
                super::super::evidence::process_name,
            ),
            heir: String::new(),
            place: String::new(),
        }
    }

    /// Adds a claim where it holds.
    pub(in crate::rules) fn with(mut self, claim: Claim, holds: bool) -> Self {
        if holds {
            self.claims.push(claim);
        }
        self
    }

    /// Names the thread.
    pub(in crate::rules) fn thread(mut self, tid: Pid) -> Self {
        self.tid = tid;
        self
    }

    /// Names a process that has inherited what the finding is about.
    pub(in crate::rules) fn heir(mut self, name: String) -> Self {
        self.heir = name;
        self
    }

    /// The options that name the listener.
    pub(in crate::rules) fn place(mut self, options: String) -> Self {
        self.place = options;
        self
    }

    pub(super) fn knows(&self, claim: Claim) -> bool {
        self.claims.contains(&claim)
    }

    /// Fills in a remedy: its words, and the lines that begin with `$ `, which are commands.
    pub(super) fn advice(&self, text: &str) -> Advice {
        // Lines are told apart first: a name may hold a line break.
        let (commands, words): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with(COMMAND));
        Advice {
            text: self.fill(&words.join(" ")),
            commands: commands
                .iter()
                .map(|line| self.fill(line.trim_start_matches(COMMAND)))
                .collect(),
        }
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{pid}", &self.pid.to_string())
            .replace("{tid}", &self.tid.to_string())
            .replace("{name}", &self.name)
            .replace("{heir}", &self.heir)
            .replace("{where}", &self.place)
    }
}
