//! Reads that may block: a command line or an executable lies in memory or on a file system that another
//! process may serve, and that process may never answer (FUSE, userfaultfd, a dead network mount).
//!
//! A thread of its own does such a read. The caller gives up after a deadline and leaves the thread
//! behind.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::Pid;

/// The most time that one answer may take. Local memory and files answer within microseconds.
const ONE_ANSWER: Duration = Duration::from_millis(500);

/// The most time that all late answers of a look may take together.
const ALL_ANSWERS: Duration = Duration::from_secs(2);

/// The most threads that one process may leave behind; then nothing is read that may block.
const MOST_LEFT_BEHIND: usize = 64;

type Answer = io::Result<Vec<u8>>;
type Question = Box<dyn FnOnce() -> Answer + Send>;

/// Asks with a deadline.
#[derive(Default)]
pub(super) struct TimedReads {
    worker: Option<Worker>,
    /// Threads that still wait for an answer that is no longer needed.
    left_behind: Arc<AtomicUsize>,
    /// What late answers have cost this look.
    spent: Duration,
    /// Processes that were late once: they are not asked again in this look.
    late: HashSet<Pid>,
}

struct Worker {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
}

impl TimedReads {
    /// Begins a look: all processes are asked again, with the full time.
    pub(super) fn begin_look(&mut self) {
        self.spent = Duration::ZERO;
        self.late.clear();
    }

    /// Asks something about a process.
    ///
    /// # Errors
    ///
    /// As the question, and [`io::ErrorKind::TimedOut`] where no answer came in time.
    pub(super) fn ask(
        &mut self,
        pid: Pid,
        question: impl FnOnce() -> Answer + Send + 'static,
    ) -> Answer {
        let left = ALL_ANSWERS.saturating_sub(self.spent).min(ONE_ANSWER);
        let too_many = self.left_behind.load(Ordering::Relaxed) >= MOST_LEFT_BEHIND;
        if self.late.contains(&pid) || left.is_zero() || too_many {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => start()?,
        };
        let asked = Instant::now();
        if worker.questions.send(Box::new(question)).is_err() {
            return Err(io::Error::other("the thread that reads has ended"));
        }
        match worker.answers.recv_timeout(left) {
            Ok(answer) => {
                self.worker = Some(worker);
                answer
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("the thread that reads has ended"))
            }
            Err(RecvTimeoutError::Timeout) => {
                self.spent += asked.elapsed();
                self.late.insert(pid);
                self.leave_behind(&worker);
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    /// The thread ends by itself when its read does: the next question never comes.
    fn leave_behind(&self, worker: &Worker) {
        self.left_behind.fetch_add(1, Ordering::Relaxed);
        let left_behind = Arc::clone(&self.left_behind);
        let mark: Question = Box::new(move || {
            left_behind.fetch_sub(1, Ordering::Relaxed);
            Ok(Vec::new())
        });
        // It is queued behind the read that hangs.
        drop(worker.questions.send(mark));
    }
}

fn start() -> io::Result<Worker> {
    let (questions, asked) = channel::<Question>();
    let (answer, answers) = channel();
    thread::Builder::new()
        .name("timed-read".to_owned())
        .spawn(move || {
            for question in asked {
                // The receiver is gone if the answer came too late.
                drop(answer.send(question()));
            }
        })?;
    Ok(Worker { questions, answers })
}

/// Returns the process whose memory or files a path below procfs leads to, if reading it may block.
pub(super) fn may_block(path: &str) -> Option<Pid> {
    let (pid, rest) = path.split_once('/')?;
    let name = rest.split('/').next_back()?;
    let risky = matches!(name, "cmdline" | "environ" | "exe" | "mem" | "maps")
        || rest.starts_with("root/")
        || rest.starts_with("cwd/");
    if risky { pid.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_time_is_returned() {
        let mut timed_reads = TimedReads::default();
        for word in ["one", "two"] {
            let answer = timed_reads.ask(7, move || Ok(word.into()));
            assert_eq!(answer.unwrap(), word.as_bytes());
        }
        assert!(
            timed_reads
                .ask(7, || Err(io::ErrorKind::NotFound.into()))
                .is_err()
        );
        assert_eq!(timed_reads.spent, Duration::ZERO);
    }

    #[test]
    fn a_process_that_never_answers_is_left_behind_and_not_asked_again() {
        let mut timed_reads = TimedReads::default();
        let (sender, receiver) = channel::<()>();
        let answer = timed_reads.ask(7, move || {
            let _ = receiver.recv();
            Ok(Vec::new())
        });
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(timed_reads.left_behind.load(Ordering::Relaxed), 1);
        let again = timed_reads.ask(7, || Ok(b"too late".to_vec()));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            timed_reads.ask(8, || Ok(b"other".to_vec())).unwrap(),
            b"other"
        );
        timed_reads.begin_look();
        assert_eq!(
            timed_reads.ask(7, || Ok(b"next".to_vec())).unwrap(),
            b"next"
        );
        drop(sender);
        while timed_reads.left_behind.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn reads_of_memory_or_files_of_another_process_may_block() {
        assert_eq!(may_block("7/cmdline"), Some(7));
        assert_eq!(may_block("7/task/8/exe"), Some(7));
        assert_eq!(may_block("7/root/etc/hosts"), Some(7));
        for path in ["7/stat", "7/net/tcp", "thread-self/ns/net", "self/exe", "7"] {
            assert_eq!(may_block(path), None, "{path}");
        }
    }
}
