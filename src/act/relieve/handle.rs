//! The other end of a hand: starts it, tells it, hears it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::orders::{Answer, Command, Fault};
use super::registration::Grip;

/// The name of the hidden command.
pub const HAND: &str = "hand";

/// Nothing that a hand does waits for anybody, but an `accept` that somebody else came before.
const PATIENCE: Duration = Duration::from_secs(2);

/// This program. A descriptor that it inherited, under the number that the hand needs, is kept from
/// the hand by a shell, which can close it; shells know single digits.
fn program(needed: u32) -> std::process::Command {
    let this_program = format!("/proc/{}/exe", std::process::id());
    if !(3..=9).contains(&needed) || !is_inherited(needed) {
        return std::process::Command::new(this_program);
    }
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", &format!("exec \"$0\" \"$@\" {needed}<&-")])
        .arg(this_program);
    shell
}

/// Whether a descriptor of ours is open and stays so in what we start.
fn is_inherited(number: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
    let text = text.unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlags::CLOEXEC.bits() == 0)
}

/// A hand at work. It ends with its input.
pub(super) struct Handle {
    child: Child,
    input: Option<File>,
    output: BufReader<File>,
}

impl Handle {
    pub(super) fn start(grip: &Grip) -> io::Result<Self> {
        let order = serde_json::to_string(grip)?;
        let mut child = program(grip.target_fd)
            .args([HAND, &order])
            // Ctrl-C is for the one who started it, and the hand undoes what has to be undone.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().map(OwnedFd::from).map(File::from);
        let output = child.stdout.take().map(OwnedFd::from).map(File::from);
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        Ok(Self {
            input: Some(input.ok_or_else(missing)?),
            output: BufReader::new(output.ok_or_else(missing)?),
            child,
        })
    }

    /// Tells the hand something, and waits for its answer.
    pub(super) fn tell(&mut self, command: Command) -> Result<Answer, Fault> {
        match self.try_tell(command) {
            Ok(Answer::Fault(fault)) => Err(fault),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Fault::Failed(format!("the helper process: {error}"))),
        }
    }

    fn try_tell(&mut self, command: Command) -> io::Result<Answer> {
        let mut text = serde_json::to_vec(&command)?;
        text.push(b'\n');
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(&text)?;
        let patience = Timespec::try_from(PATIENCE).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut polled = [PollFd::new(self.output.get_ref(), PollFlags::IN)];
        loop {
            match rustix::event::poll(&mut polled, Some(&patience)) {
                Ok(0) => {
                    self.child.kill()?;
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("it has ended before it answered"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Its input ends, and it does with it.
        self.input = None;
        let _ = self.child.wait();
    }
}
