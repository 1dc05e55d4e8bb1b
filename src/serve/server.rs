//! The loop that serves: listeners, signals, and a bounded number of clients, in one thread.

use std::fmt;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::{Client, Fate};
use super::pages::Published;
use super::respond::answer;
use crate::render::metrics::HttpTally;

/// So many clients at once. A Prometheus has one connection, a pair of them two.
const MOST_CLIENTS: usize = 64;

/// Without descriptors or memory, accepting is tried again after this time.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What ends or wakes the exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It is to end.
    End,
    /// It is to look at once.
    Look,
}

/// Why the server cannot start.
#[derive(Debug)]
pub struct ServerError {
    address: SocketAddr,
    error: io::Error,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error } = self;
        write!(f, "listening on {address}: {error}")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => f.write_str(
                "; another program listens there, or another exporter: choose another with --listen",
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ServerError {}

/// A server that listens already.
pub struct Server {
    listeners: Vec<TcpListener>,
    clients: Vec<Client<TcpStream>>,
    tally: HttpTally,
    /// Until when nobody is accepted.
    accepts_from: Instant,
}

impl Server {
    /// Listens on these addresses.
    ///
    /// # Errors
    ///
    /// When one of them cannot be listened on.
    pub fn listen(addresses: &[SocketAddr]) -> Result<Self, ServerError> {
        let listen = |address: &SocketAddr| {
            let listener = TcpListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            });
            listener.map_err(|error| ServerError {
                address: *address,
                error,
            })
        };
        Ok(Self {
            listeners: addresses.iter().map(listen).collect::<Result<_, _>>()?,
            clients: Vec::new(),
            tally: HttpTally::default(),
            accepts_from: Instant::now(),
        })
    }

    /// Returns the addresses it listens on, with the ports that the kernel chose.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let listeners = self.listeners.iter();
        listeners.filter_map(|listener| listener.local_addr().ok())
    }

    /// Serves until a signal comes, and returns it. `signals` are pipes into which a byte is written when their
    /// signal comes.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to wait.
    pub fn serve(
        &mut self,
        published: &Published,
        signals: &[(UnixStream, Signal)],
    ) -> io::Result<Signal> {
        loop {
            let ready = self.wait(signals)?;
            let (of_signals, rest) = ready.split_at(signals.len());
            let (of_listeners, of_clients) = rest.split_at(self.listeners.len());
            let came = of_signals.iter().position(|ready| *ready);
            if let Some((pipe, signal)) = came.map(|index| &signals[index]) {
                take_bytes(pipe)?;
                return Ok(*signal);
            }
            let now = Instant::now();
            self.proceed_with(published, of_clients, now);
            for (index, is_ready) in of_listeners.iter().enumerate() {
                if *is_ready {
                    self.accept(index, published, now);
                }
            }
        }
    }

    /// Waits until something can be done, and returns which of the signals, listeners and clients it is.
    fn wait(&self, signals: &[(UnixStream, Signal)]) -> io::Result<Vec<bool>> {
        let now = Instant::now();
        let accepts = now >= self.accepts_from;
        let listening = if accepts {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let mut polled: Vec<PollFd> = Vec::new();
        let pipes = signals.iter().map(|(pipe, _)| pipe);
        polled.extend(pipes.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let listeners = self.listeners.iter();
        polled.extend(listeners.map(|listener| PollFd::new(listener, listening)));
        polled.extend(self.clients.iter().map(|client| {
            let wanted = if client.wants_to_send() {
                PollFlags::OUT
            } else {
                PollFlags::IN
            };
            PollFd::from_borrowed_fd(client.stream().as_fd(), wanted)
        }));
        let deadlines = self.clients.iter().map(Client::deadline);
        let next = deadlines
            .chain((!accepts).then_some(self.accepts_from))
            .min();
        let timeout = next.map(|next| timespec(next.saturating_duration_since(now)));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(vec![false; polled.len()]),
            Err(error) => return Err(error.into()),
        }
        Ok(polled.iter().map(|one| !one.revents().is_empty()).collect())
    }

    /// Goes on with those that are ready, and ends those that are late.
    fn proceed_with(&mut self, published: &Published, ready: &[bool], now: Instant) {
        let clients = std::mem::take(&mut self.clients);
        for (mut client, ready) in clients.into_iter().zip(ready) {
            let fate = if *ready {
                self.proceed(&mut client, published, now)
            } else {
                Fate::Stays
            };
            if fate == Fate::Ends {
                continue;
            }
            if client.is_late(now) {
                self.tally.slow += u64::from(!client.is_idle());
                continue;
            }
            self.clients.push(client);
        }
    }

    fn proceed(
        &mut self,
        client: &mut Client<TcpStream>,
        published: &Published,
        now: Instant,
    ) -> Fate {
        client.proceed(now, &mut |request| {
            let answered = answer(request, &published.latest(), &self.tally, now);
            *self.tally.answered.entry(answered.status).or_default() += 1;
            answered
        })
    }

    /// Accepts all that wait. A client that is there already may have to go: the request of a new one is on its way,
    /// and that of the other did not come.
    fn accept(&mut self, listener: usize, published: &Published, now: Instant) {
        for _ in 0..MOST_CLIENTS {
            let stream = match self.listeners[listener].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The client has gone meanwhile.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => {
                    self.accepts_from = now + ACCEPT_PAUSE;
                    return;
                }
            };
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut client = Client::new(stream, now);
            if self.proceed(&mut client, published, now) == Fate::Stays {
                self.make_room();
                self.clients.push(client);
            }
        }
    }

    /// Ends the idle client whose time is over first, or else the slow one.
    fn make_room(&mut self) {
        if self.clients.len() < MOST_CLIENTS {
            return;
        }
        let clients = self.clients.iter().enumerate();
        let first = clients.min_by_key(|(_, client)| (!client.is_idle(), client.deadline()));
        if let Some((index, _)) = first {
            self.clients.swap_remove(index);
            self.tally.full += 1;
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    // Not too early: a deadline that is a part of a millisecond away would be asked for again and again.
    let time = time + Duration::from_millis(1);
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

fn take_bytes(mut pipe: &UnixStream) -> io::Result<()> {
    let mut bytes = [0; 64];
    match pipe.read(&mut bytes) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}
