//! What clients do to a server: connect, send, leave in one way or another.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use super::{PATIENCE, PORT};

/// As long as the messages of the incident.
pub(crate) const MESSAGE: &[u8; 45] = b"forty-five bytes from a client of the tests.\n";

pub(crate) fn connect() -> TcpStream {
    connect_to(PORT)
}

fn connect_to(port: u16) -> TcpStream {
    let server = (Ipv4Addr::LOCALHOST, port).into();
    let stream = TcpStream::connect_timeout(&server, PATIENCE).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

fn listener_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

pub(crate) fn connect_many(clients: usize) -> Vec<TcpStream> {
    (0..clients).map(|_| connect()).collect()
}

/// Returns whether the kernel drops one more connection, as it does when the accept queue is full.
pub(crate) fn is_refused() -> bool {
    TcpStream::connect_timeout(&listener_address(), Duration::from_millis(100)).is_err()
}

pub(crate) fn send(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).expect("the connection is open");
}

/// Says something to an echo server, and waits for the echo.
pub(crate) fn talk(client: &mut TcpStream) {
    send(client, MESSAGE);
    client.read_exact(&mut [0; MESSAGE.len()]).expect("an echo");
}

/// A connection whose client has closed it.
pub(crate) struct Closed {
    /// The client's address: what the server calls remote.
    pub(crate) client: SocketAddr,
    pub(crate) at: Instant,
}

pub(crate) fn close(client: TcpStream) -> Closed {
    let address = client.local_addr().expect("it is connected");
    drop(client);
    Closed {
        client: address,
        at: Instant::now(),
    }
}

/// Closes a connection so that the server gets a reset.
pub(crate) fn reset(client: TcpStream) {
    sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("a socket");
    drop(client);
}

/// Four clients who each sent a message; then two of them closed, one reset, one stays.
pub(crate) struct Crowd {
    pub(crate) closed: Vec<Closed>,
    _stays: TcpStream,
}

impl Crowd {
    pub(crate) const SIZE: u64 = 4;

    pub(crate) fn connect() -> Self {
        let [mut first, mut second, mut third, mut fourth] = std::array::from_fn(|_| connect());
        for client in [&mut first, &mut second, &mut third, &mut fourth] {
            send(client, MESSAGE);
        }
        reset(third);
        Self {
            closed: vec![close(first), close(second)],
            _stays: fourth,
        }
    }
}

/// Clients who keep coming, talk to an echo server and leave, until this is dropped.
pub(crate) struct Load {
    counter: Arc<Counter>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counter {
    enough: AtomicBool,
    visits: AtomicU32,
}

impl Load {
    const MOST_VISITS: u32 = 10_000_000;

    pub(crate) fn start(clients: usize) -> Self {
        Self::on(PORT, clients)
    }

    /// On a server that is not at the usual port.
    pub(crate) fn on(port: u16, clients: usize) -> Self {
        let counter = Arc::new(Counter::default());
        let start_client = |_| {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || come_and_go(port, &counter))
        };
        let clients = (0..clients).map(start_client).collect();
        Self { counter, clients }
    }

    pub(crate) fn visits(&self) -> u32 {
        self.counter.visits.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.counter.enough.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let served = client.join().is_ok();
            // A panic in a panic would leave the servers behind.
            assert!(
                served || std::thread::panicking(),
                "a client was not served"
            );
        }
    }
}

fn come_and_go(port: u16, counter: &Counter) {
    while !counter.enough.load(Ordering::Relaxed) {
        talk(&mut connect_to(port));
        let visits = counter.visits.fetch_add(1, Ordering::Relaxed);
        assert!(visits < Load::MOST_VISITS, "this load was never ended");
    }
}
