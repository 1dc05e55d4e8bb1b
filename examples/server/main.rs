//! Sick and healthy servers to try the doctor on: one condition a mode.
//!
//! ```text
//! cargo run --example server -- paused --how removed --port 8080
//! ```
//!
//! A server prints `ready` once clients may come (and `pids ..`, where its worker processes matter), then lives until
//! it is killed, or until no client came for ten minutes. Most conditions begin with the first client: it is the one that
//! the server gets stuck on.
#![expect(
    clippy::disallowed_methods,
    reason = "clocks and files are read by what makes a condition, as by any server"
)]

mod blocked;
mod clients;
mod close_wait;
mod descriptor_limit;
mod event_loop;
mod healthy;
mod idle;
mod life;
mod listening;
mod nested;
mod paused;
mod polling;
mod processes;
mod stall;
mod threads;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rustix::process::Signal;

use crate::listening::Place;

#[derive(Parser)]
#[command(about = "A server with one condition, to try closewait-doctor on")]
struct Server {
    #[command(flatten)]
    place: Place,

    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Healthy: an epoll echo server, level-triggered, or edge-triggered and accepting until EAGAIN.
    Healthy {
        #[arg(long, value_enum, default_value = "level")]
        trigger: healthy::Trigger,
    },
    /// The edge-triggered stall, one level down: the listener's epoll set is itself in the set that the thread waits on.
    NestedStall {
        /// How long the server works on each client, in milliseconds: those who connect meanwhile share an edge.
        #[arg(long, default_value_t = 200)]
        work_ms: u64,
    },
    /// An edge-triggered accept loop that stops before the queue is empty.
    Stall(stall::StallArgs),
    /// An edge-triggered accept loop that asks for one of `--slots` before each accept.
    GatedEdge {
        #[arg(long, default_value_t = 1)]
        slots: usize,
        /// What the thread of the accept loop is called.
        #[arg(long, default_value = "acceptor")]
        thread: String,
    },
    /// The first client blocks the only thread of an epoll server, whose listener is level-triggered.
    Blocked {
        #[arg(long, value_enum)]
        by: blocked::By,
        /// The port of a server that does not answer, for `--by upstream`.
        #[arg(long, default_value_t = 9000)]
        upstream: u16,
    },
    /// A server without epoll: it accepts one client, and reads it to its end before it accepts the next.
    OneByOne,
    /// The accepting thread waits for a free worker, and each worker waits for its silent client.
    Gated {
        #[arg(long, default_value_t = 2)]
        workers: usize,
    },
    /// The accepting thread has ended after its first client; the others live on.
    AcceptorGone,
    /// A poll(2) server that leaves its listener out of the set while it has `--limit` clients.
    PollPaused {
        #[arg(long, default_value_t = 2)]
        limit: usize,
    },
    /// A poll(2) server whose handler polls its first client alone, until that one sends something.
    PollOneClient,
    /// An idle event loop that stopped watching its listener with the first client, its connection limit.
    Paused {
        #[arg(long, value_enum)]
        how: paused::How,
    },
    /// The server is dead, and a child that never accepts has inherited its listener.
    Inherited {
        #[arg(long, value_enum, default_value = "sleep")]
        child: processes::Heir,
    },
    /// Accepts until it has no descriptor left.
    DescriptorLimit {
        #[arg(long, default_value_t = 40)]
        descriptors: u64,
        #[arg(long, value_enum)]
        then: descriptor_limit::Then,
    },
    /// Listens, and sleeps.
    NeverAccepts,
    /// Listens, and sleeps, under a name made of escape bytes, quotes, a newline and a byte that is not UTF-8.
    HostileName,
    /// Reads each client to its end of stream, and never closes.
    UnclosedAfterEof,
    /// Accepts everybody, and does not get to read the end of their streams.
    UnreadEof {
        #[arg(long, value_enum)]
        because: close_wait::Because,
    },
    /// A thread for each client: it reads one request and asks an upstream about it, which does not answer.
    WaitsForUpstream {
        #[arg(long, default_value_t = 9000)]
        upstream: u16,
    },
    /// Several worker processes, each with its own listener on the one port (`SO_REUSEPORT`).
    ReusePort {
        #[arg(long, default_value_t = 3)]
        workers: usize,
        /// The first worker never accepts.
        #[arg(long)]
        stuck: bool,
    },
    /// A master that only holds the listener, and worker processes that accept from it.
    Prefork {
        #[arg(long, default_value_t = 2)]
        workers: usize,
        #[arg(long, value_enum, default_value = "epoll")]
        style: processes::Style,
    },
    /// A worker of `reuse-port` that serves.
    #[command(hide = true)]
    HealthyInGroup,
    /// A worker of `reuse-port` that does not.
    #[command(hide = true)]
    StuckInGroup,
    /// A worker of `prefork`: its listener is its standard input.
    #[command(hide = true)]
    PreforkWorker {
        #[arg(long, value_enum)]
        style: processes::Style,
    },
    /// The child of `inherited` that waits in an event loop of its own.
    #[command(hide = true)]
    IdleLoop,
}

fn main() -> Result<()> {
    let Server { place, mode } = Server::parse();
    if !matches!(mode, Mode::IdleLoop) {
        // An orphaned server: its parent has ended.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    match mode {
        Mode::Healthy { trigger } => healthy::run(&place, trigger),
        Mode::NestedStall { work_ms } => nested::run(&place, work_ms),
        Mode::Stall(args) => stall::run(&place, &args),
        Mode::GatedEdge { slots, thread } => stall::gated(&place, slots, thread),
        Mode::Blocked { by, upstream } => blocked::run(&place, by, upstream),
        Mode::OneByOne => threads::one_by_one(&place),
        Mode::Gated { workers } => threads::gated(&place, workers),
        Mode::AcceptorGone => threads::acceptor_gone(&place),
        Mode::PollPaused { limit } => polling::paused(&place, limit),
        Mode::PollOneClient => polling::one_client(&place),
        Mode::Paused { how } => paused::run(&place, how),
        Mode::Inherited { child } => processes::inherited(&place, child),
        Mode::DescriptorLimit { descriptors, then } => {
            descriptor_limit::run(&place, descriptors, then)
        }
        Mode::NeverAccepts => idle::never_accepts(&place),
        Mode::HostileName => idle::hostile_name(&place),
        Mode::UnclosedAfterEof => close_wait::unclosed_after_eof(&place),
        Mode::UnreadEof { because } => close_wait::unread_eof(&place, because),
        Mode::WaitsForUpstream { upstream } => close_wait::waits_for_upstream(&place, upstream),
        Mode::ReusePort { workers, stuck } => processes::reuse_port(&place, workers, stuck),
        Mode::HealthyInGroup => processes::healthy_in_group(&place),
        Mode::StuckInGroup => processes::stuck_in_group(&place),
        Mode::Prefork { workers, style } => processes::prefork(&place, workers, style),
        Mode::PreforkWorker { style } => processes::prefork_worker(style),
        Mode::IdleLoop => idle::idle_loop(),
    }
}
