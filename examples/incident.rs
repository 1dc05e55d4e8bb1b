//! The incident this program was written for, to be played at home in two terminals.
//!
//! ```text
//! cargo run --example incident -- server      # first terminal
//! cargo run --example incident -- client      # second terminal
//! cargo run -- scan --port 8080               # and ask the doctor
//! ```
//!
//! The server may serve one connection at a time, has its listener in an epoll set edge-triggered, and closes what
//! comes above its limit. It stops accepting too early: see [`Server::accept_new_connections`]. The client fills the
//! limit, keeps the server busy for a moment and lets a crowd connect meanwhile: one edge for all of them. From then
//! on the crowd waits in the accept queue, and the server sleeps. `--cure level` and `--cure drain` are the two cures.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own waits and sockets"
)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, ValueEnum};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

#[derive(Parser)]
#[command(about = "A server with a lost edge, and the clients that make it happen")]
enum Command {
    /// Runs the server until it is killed.
    Server(ServerArgs),
    /// Plays the clients, and keeps their connections open for a while.
    Client(ClientArgs),
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Server(args) => Server::start(&args)?.run(),
        Command::Client(args) => play_the_clients(&args),
    }
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("stdout is gone")
}

// ---------------------------------------------------------------------------------------------- the server

#[derive(Args)]
struct ServerArgs {
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// How many connections are served at a time; those above are closed as soon as they are accepted.
    #[arg(long, default_value_t = 1)]
    limit: usize,

    /// How long the work takes that each request causes, in milliseconds.
    #[arg(long, default_value_t = 200)]
    work_ms: u64,

    /// Run the corrected server instead.
    #[arg(long)]
    cure: Option<Cure>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Cure {
    /// Register the listener level-triggered: while connections wait, the server is woken.
    Level,
    /// Keep the edge, but accept until the queue is empty, at the limit too.
    Drain,
}

const BACKLOG: i32 = 511;

struct Server {
    listener: OwnedFd,
    epoll: OwnedFd,
    connections: HashMap<RawFd, OwnedFd>,
    limit: usize,
    work: Duration,
    cure: Option<Cure>,
}

impl Server {
    fn start(args: &ServerArgs) -> Result<Self> {
        let nonblocking = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener =
            rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, nonblocking, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        rustix::net::bind(&listener, &localhost(args.port))
            .with_context(|| format!("port {}", args.port))?;
        rustix::net::listen(&listener, BACKLOG)?;

        let server = Self {
            listener,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: HashMap::new(),
            limit: args.limit,
            work: Duration::from_millis(args.work_ms),
            cure: args.cure,
        };
        let trigger = match server.cure {
            Some(Cure::Level) => EventFlags::IN,
            Some(Cure::Drain) | None => EventFlags::IN | EventFlags::ET,
        };
        server.watch(&server.listener, trigger)?;
        say(&format!(
            "listening on {}, pid {}",
            localhost(args.port),
            std::process::id()
        ))?;
        Ok(server)
    }

    fn watch(&self, socket: &OwnedFd, events: EventFlags) -> Result<()> {
        let number = EventData::new_u64(u64::try_from(socket.as_raw_fd())?);
        Ok(epoll::add(&self.epoll, socket, number, events)?)
    }

    fn run(mut self) -> Result<()> {
        let mut events = Vec::with_capacity(64);
        loop {
            rustix::io::retry_on_intr(|| {
                epoll::wait(&self.epoll, spare_capacity(&mut events), None)
            })?;
            for event in events.drain(..) {
                let number = RawFd::try_from(event.data.u64())?;
                if number == self.listener.as_raw_fd() {
                    self.accept_new_connections()?;
                } else {
                    self.serve(number)?;
                }
            }
        }
    }

    /// Here is the bug, five lines of it.
    fn accept_new_connections(&mut self) -> Result<()> {
        loop {
            match rustix::net::accept_with(
                &self.listener,
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            ) {
                Ok(connection) if self.connections.len() >= self.limit => {
                    say("at the limit: accepted one and closed it")?;
                    drop(connection); // close(fd)
                    if self.cure == Some(Cure::Drain) {
                        continue;
                    }
                    return Ok(()); // <--- the bug: others may still wait, and their edge has been used up
                }
                Ok(connection) => self.admit(connection)?,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error).context("accept"),
            }
        }
    }

    fn admit(&mut self, connection: OwnedFd) -> Result<()> {
        self.watch(&connection, EventFlags::IN)?;
        self.connections.insert(connection.as_raw_fd(), connection);
        say(&format!(
            "accepted one: {} of {}",
            self.connections.len(),
            self.limit
        ))
    }

    /// Echoes what a connection sent, then works on it for a while, and closes it at its end: all as it should be.
    fn serve(&mut self, number: RawFd) -> Result<()> {
        let Some(connection) = self.connections.get(&number) else {
            bail!("epoll reported descriptor {number}, which is no connection of ours");
        };
        let mut request = [0; 4096];
        let answered = match rustix::io::read(connection, &mut request) {
            Ok(length) if length > 0 => rustix::io::write(connection, &request[..length]).is_ok(),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Ok(_) | Err(_) => false,
        };
        if answered {
            sleep(self.work);
        } else {
            self.connections.remove(&number); // close(fd)
            say("a client left: its connection is closed")?;
        }
        Ok(())
    }
}

fn localhost(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

// --------------------------------------------------------------------------------------------- the clients

#[derive(Args)]
struct ClientArgs {
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// How many connect while the server is busy.
    #[arg(long, default_value_t = 24)]
    crowd: usize,

    /// How many of those close their connection properly.
    #[arg(long, default_value_t = 10)]
    close: usize,

    /// How many of those reset it.
    #[arg(long, default_value_t = 4)]
    reset: usize,

    /// How long the others keep theirs open, in seconds.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(..=3600))]
    hold: u64,
}

const PATIENCE: Duration = Duration::from_secs(5);
const MESSAGE: &[u8; 45] = b"forty-five bytes from a client of the server\n";

fn play_the_clients(args: &ClientArgs) -> Result<()> {
    let mut live = connect(args.port)?;
    live.write_all(MESSAGE)?;
    live.read_exact(&mut [0; MESSAGE.len()])
        .context("the server took the connection but does not answer: is it stuck already?")?;
    say("one live connection: served, and kept open")?;

    // The server has answered and is at its work: all clients that connect now share one edge.
    let mut crowd = (0..args.crowd)
        .map(|_| connect(args.port))
        .collect::<Result<Vec<_>>>()?;
    let refused = crowd
        .iter_mut()
        .filter_map(|client| client.write_all(MESSAGE).err())
        .count();
    say(&format!(
        "{} more connected in a burst and sent {} bytes each",
        args.crowd,
        MESSAGE.len()
    ))?;
    if refused > 0 {
        say(&format!(
            "{refused} of them were refused before they could send"
        ))?;
    }

    // The one that the server accepts and closes is the first of the crowd, so those that leave are its last ones.
    let resetting = crowd.split_off(crowd.len().saturating_sub(args.reset));
    let closing = crowd.split_off(crowd.len().saturating_sub(args.close));
    let (closed, reset) = (closing.len(), resetting.len());
    drop(closing);
    resetting.into_iter().try_for_each(reset_connection)?;
    say(&format!(
        "{closed} of them closed, {reset} reset, {} stay; holding for {} s",
        crowd.len(),
        args.hold
    ))?;

    sleep(Duration::from_secs(args.hold));
    Ok(())
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&localhost(port).into(), PATIENCE)
        .with_context(|| format!("no server answers on port {port}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Closes a connection so that the server gets a reset instead of an end.
fn reset_connection(client: TcpStream) -> Result<()> {
    sockopt::set_socket_linger(&client, Some(Duration::ZERO))?;
    drop(client);
    Ok(())
}
