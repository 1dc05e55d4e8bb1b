//! A hand with its journal: what it leaves undone is undone by the next.

use super::Entry;
use super::handle::Handle;
use super::journal::{Journal, Record};
use super::orders::{Answer, Command, Fault};
use super::registration::Grip;
use crate::collect::kernel::Kernel;

/// One registration under treatment.
pub(super) struct Worker<'a> {
    pub(super) grip: Grip,
    handle: Handle,
    journal: &'a Journal,
}

/// Notes a step.
pub(super) fn note(
    kernel: &mut dyn Kernel,
    log: &mut Vec<Entry>,
    step: &'static str,
    target: String,
    result: Result<String, &Fault>,
) {
    let ok = result.is_ok();
    log.push(Entry {
        // The running kernel always knows the time.
        at: kernel.elapsed().unwrap_or_default(),
        step,
        target,
        result: result.unwrap_or_else(Fault::describe),
        ok,
    });
}

impl<'a> Worker<'a> {
    pub(super) fn start(grip: &Grip, journal: &'a Journal) -> Result<Self, Fault> {
        Ok(Self {
            grip: grip.clone(),
            handle: Handle::start(grip).map_err(|error| helper(&error))?,
            journal,
        })
    }

    /// Writes down what is about to be in force.
    pub(super) fn announce(&self, in_force: u32, local: &str) -> Result<(), Fault> {
        let record = Record {
            grip: self.grip.clone(),
            in_force,
            local: local.to_owned(),
        };
        self.journal.write(&record).map_err(|error| {
            Fault::Failed(format!(
                "writing the journal in {}: {error} (name another folder with --state)",
                self.journal.folder().display()
            ))
        })
    }

    /// Forgets what was written down.
    pub(super) fn forget(&self) -> Result<(), Fault> {
        self.journal
            .remove(&self.grip)
            .map_err(|error| Fault::Failed(format!("the journal: {error}")))
    }

    /// Gives the registration a mask. Where the hand fails on the way, another one brings back what
    /// there was.
    pub(super) fn set(
        &mut self,
        kernel: &mut dyn Kernel,
        log: &mut Vec<Entry>,
        events: u32,
        guard: bool,
    ) -> Result<u32, Fault> {
        match self.handle.tell(Command::Set { events, guard }) {
            Ok(Answer::Done(mask)) => Ok(mask),
            Ok(other) => Err(Fault::Failed(format!("an unexpected answer: {other:?}"))),
            Err(fault @ Fault::Failed(_)) => {
                let repaired = self.repair();
                note(
                    kernel,
                    log,
                    "repair",
                    self.grip.name(),
                    repaired
                        .as_ref()
                        .map(|mask| format!("the mask is {mask:x}, as it was")),
                );
                Err(fault)
            }
            Err(fault) => Err(fault),
        }
    }

    fn repair(&mut self) -> Result<u32, Fault> {
        self.start_again()?;
        let mask = self.restore()?;
        self.forget()?;
        Ok(mask)
    }

    /// Brings back what there was.
    pub(super) fn restore(&mut self) -> Result<u32, Fault> {
        let answer = match self.handle.tell(Command::Restore) {
            Err(Fault::Failed(_)) => {
                self.start_again()?;
                self.handle.tell(Command::Restore)?
            }
            answer => answer?,
        };
        match answer {
            Answer::Done(mask) => Ok(mask),
            other => Err(Fault::Failed(format!("an unexpected answer: {other:?}"))),
        }
    }

    /// Lets what is in force stay in force.
    pub(super) fn release(&mut self) -> Result<(), Fault> {
        self.handle.tell(Command::Release).map(drop)
    }

    fn start_again(&mut self) -> Result<(), Fault> {
        self.handle = Handle::start(&self.grip).map_err(|error| helper(&error))?;
        Ok(())
    }
}

fn helper(error: &std::io::Error) -> Fault {
    Fault::Failed(format!("starting the helper process: {error}"))
}
