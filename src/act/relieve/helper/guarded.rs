//! A helper process with its record in the journal: what one helper leaves undone, the next one
//! restores.

use super::client::HelperClient;
use super::protocol::{HelperRequest, HelperResponse};
use crate::act::relieve::fault::Fault;
use crate::act::relieve::journal::JournalRecord;
use crate::act::relieve::options::Folders;
use crate::act::relieve::outcome::StepLog;
use crate::act::relieve::registration::EpollRegistration;
use crate::act::relieve::verify::verify_then_forget;
use crate::collect::kernel::Kernel;

/// One registration, and the helper process that changes it.
pub(in crate::act::relieve) struct GuardedHelper<'a> {
    registration: EpollRegistration,
    client: HelperClient,
    folders: Folders<'a>,
    /// What the journal says of it.
    record: Option<JournalRecord>,
}

impl<'a> GuardedHelper<'a> {
    /// Starts a helper process.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub(in crate::act::relieve) fn start(
        registration: &EpollRegistration,
        folders: Folders<'a>,
    ) -> Result<Self, Fault> {
        Ok(Self {
            registration: registration.clone(),
            client: HelperClient::for_registration(registration, folders.procfs)?,
            folders,
            record: None,
        })
    }

    /// Starts a helper process for a change that is in the journal.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub(in crate::act::relieve) fn resume(
        record: &JournalRecord,
        folders: Folders<'a>,
    ) -> Result<Self, Fault> {
        let mut helper = Self::start(&record.registration, folders)?;
        helper.record = Some(record.clone());
        Ok(helper)
    }

    /// Returns the registration.
    pub(in crate::act::relieve) fn registration(&self) -> &EpollRegistration {
        &self.registration
    }

    /// Records what is about to be in force.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written.
    pub(in crate::act::relieve) fn announce(
        &mut self,
        in_force: u32,
        local: &str,
    ) -> Result<(), Fault> {
        let record = JournalRecord {
            registration: self.registration.clone(),
            in_force,
            local: local.to_owned(),
        };
        let journal = self.folders.journal;
        journal.write(&record).map_err(|error| {
            Fault::Failed(format!(
                "writing the journal in {}: {error} (name another folder with --state)",
                journal.path().display()
            ))
        })?;
        self.record = Some(record);
        Ok(())
    }

    /// Removes what was recorded, once the registration is read back as it was.
    ///
    /// # Errors
    ///
    /// When the change is in force, or that cannot be told.
    pub(in crate::act::relieve) fn forget(&mut self, kernel: &mut dyn Kernel) -> Result<(), Fault> {
        if let Some(record) = &self.record {
            verify_then_forget(kernel, self.folders.journal, record)?;
            self.record = None;
        }
        Ok(())
    }

    /// Gives the registration a mask. Where it is not known what the helper did, another one restores
    /// what there was; the record is removed only if the registration is read back as it was.
    ///
    /// # Errors
    ///
    /// When it is not done, and whether anything is left in force.
    pub(in crate::act::relieve) fn set(
        &mut self,
        kernel: &mut dyn Kernel,
        log: &mut StepLog,
        events: u32,
        guard: bool,
    ) -> Result<u32, Fault> {
        let fault = match self.client.ask(HelperRequest::Set { events, guard }) {
            Ok(HelperResponse::Done(mask)) => return Ok(mask),
            Ok(other) => Fault::Failed(format!("an unexpected answer: {other:?}")),
            Err(fault) => fault,
        };
        if matches!(fault, Fault::Failed(_)) {
            let repaired = self.start_again().and_then(|()| self.ask_restore(events));
            let result = repaired
                .as_ref()
                .map(|mask| format!("the mask is {mask:x}, as it was"));
            log.note(kernel, "repair", self.registration.name(), result);
        }
        match self.forget(kernel) {
            Ok(()) => Err(fault),
            Err(left) => Err(Fault::Failed(format!(
                "{}; {}",
                fault.describe(),
                left.describe()
            ))),
        }
    }

    /// Restores what there was.
    ///
    /// # Errors
    ///
    /// When it is not done.
    pub(in crate::act::relieve) fn restore(&mut self) -> Result<u32, Fault> {
        let in_force = self
            .record
            .as_ref()
            .map_or(self.registration.events, |record| record.in_force);
        match self.ask_restore(in_force) {
            Err(Fault::Failed(_)) => {
                self.start_again()?;
                self.ask_restore(in_force)
            }
            answer => answer,
        }
    }

    fn ask_restore(&mut self, in_force: u32) -> Result<u32, Fault> {
        match self.client.ask(HelperRequest::Restore { in_force })? {
            HelperResponse::Done(mask) => Ok(mask),
            other => Err(Fault::Failed(format!("an unexpected answer: {other:?}"))),
        }
    }

    /// Lets what is in force stay in force.
    ///
    /// # Errors
    ///
    /// When the helper process does not answer; then it restores nothing either.
    pub(in crate::act::relieve) fn release(&mut self) -> Result<(), Fault> {
        self.client.ask(HelperRequest::Release).map(drop)
    }

    fn start_again(&mut self) -> Result<(), Fault> {
        self.client = HelperClient::for_registration(&self.registration, self.folders.procfs)?;
        Ok(())
    }
}
