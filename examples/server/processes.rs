//! Conditions that take more than one process.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::event::epoll::EventFlags;
use rustix::io::FdFlags;

use crate::event_loop::EchoServer;
use crate::life::{self, LIFETIME};
use crate::listening::Place;
use crate::threads;

/// What the child does that inherited the listener.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Heir {
    /// It is a `sleep`.
    Sleep,
    /// It waits in an event loop of its own, which knows nothing of the listener.
    EventLoop,
}

/// Starts a child that gets the listener by mistake, and ends.
pub(crate) fn inherited(place: &Place, heir: Heir) -> Result<()> {
    let listener = place.listen_nonblocking()?;
    rustix::io::fcntl_setfd(&listener, FdFlags::empty())?; // what a server does that never heard of SOCK_CLOEXEC
    let heir = match heir {
        Heir::Sleep => Command::new("sleep")
            .arg(LIFETIME.as_secs().to_string())
            .spawn()?,
        Heir::EventLoop => start_worker(Stdio::null(), &["idle-loop"])?,
    };
    life::ready_with(&[heir.id()])
}

/// Starts workers that each listen for themselves, all on one port.
pub(crate) fn reuse_port(place: &Place, workers: usize, stuck: bool) -> Result<()> {
    let start = |number| {
        let mode = if stuck && number == 0 {
            "stuck-in-group"
        } else {
            "healthy-in-group"
        };
        let mut arguments = place.as_arguments();
        arguments.push(mode.to_owned());
        start_worker(Stdio::null(), &arguments)
    };
    attend((0..workers).map(start).collect::<Result<_>>()?)
}

/// A worker of `reuse-port` that serves.
pub(crate) fn healthy_in_group(place: &Place) -> Result<()> {
    let listener = place.listen_in_group()?;
    let server = EchoServer::new(listener.as_fd(), EventFlags::IN)?;
    life::ready()?;
    server.run()
}

/// A worker of `reuse-port` that does not.
pub(crate) fn stuck_in_group(place: &Place) -> Result<()> {
    let _listener = place.listen_in_group()?;
    life::ready()?;
    life::sleep();
    Ok(())
}

/// How a worker accepts from the listener that all workers share.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Style {
    /// In a level-triggered event loop.
    Epoll,
    /// In a blocking `accept`, one client at a time.
    Accept,
}

/// Opens a listener for its workers, and does nothing with it itself.
pub(crate) fn prefork(place: &Place, workers: usize, style: Style) -> Result<()> {
    let (listener, mode) = match style {
        Style::Epoll => (place.listen_nonblocking()?, "--style=epoll"),
        Style::Accept => (place.listen_blocking()?, "--style=accept"),
    };
    let start = |_| start_worker(listener.try_clone()?.into(), &["prefork-worker", mode]);
    attend((0..workers).map(start).collect::<Result<_>>()?)
}

/// A worker of `prefork`.
pub(crate) fn prefork_worker(style: Style) -> Result<()> {
    let stdin = std::io::stdin();
    let listener = stdin.as_fd();
    match style {
        Style::Epoll => {
            let server = EchoServer::new(listener, EventFlags::IN)?;
            life::ready()?;
            server.run()
        }
        Style::Accept => {
            life::ready()?;
            threads::serve_one_by_one(listener)
        }
    }
}

/// Starts this program in another mode, and waits until it is ready.
fn start_worker(stdin: Stdio, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<Child> {
    let this_program = std::env::current_exe()?;
    let mut worker = Command::new(this_program)
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(worker.stdout.as_mut().context("the worker has no stdout")?)
        .read_line(&mut line)?;
    ensure!(
        line == "ready\n",
        "the worker said {line:?}, not that it is ready"
    );
    Ok(worker)
}

/// Says that all workers are ready, and waits for their end.
fn attend(workers: Vec<Child>) -> Result<()> {
    let pids: Vec<u32> = workers.iter().map(Child::id).collect();
    life::ready_with(&pids)?;
    for mut worker in workers {
        worker.wait()?;
    }
    Ok(())
}
