//! Processes that hold sockets until their standard input closes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::event::epoll;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

/// A process that holds a load for as long as this lives.
pub(crate) struct Holder(Child);

impl Holder {
    /// Starts a process and waits until it holds its load.
    pub(crate) fn start(arguments: &[String]) -> Self {
        let program = std::env::current_exe().expect("a running program has a path");
        let mut child = Command::new(program)
            .arg("--hold")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the benchmark can start itself");
        let stdout = child.stdout.take().expect("it was asked for");
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a holder says when it is ready");
        assert_eq!(line, "ready\n", "a holder failed: {arguments:?}");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Its standard input closes, and it ends; whatever goes wrong, it is ended.
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a holder process does.
pub(crate) fn hold(arguments: &[String]) -> ExitCode {
    // It must not outlive the benchmark, however that ends.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .expect("a process may ask for this");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["closed", address, count] => {
            let _held = closed_by_client(address, number(count));
            wait();
        }
        ["open", address, count] => {
            let _held = open_pairs(address, number(count));
            wait();
        }
        ["files", count] => {
            let _held: Vec<File> = (0..number(count)).map(|_| open_file()).collect();
            wait();
        }
        ["stalled", address, count] => stalled(address, number(count)),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

fn number(text: &str) -> usize {
    text.parse().expect("holders are given numbers")
}

fn open_file() -> File {
    File::open("/dev/null").expect("there is /dev/null")
}

/// Accepted connections whose client has closed.
fn closed_by_client(address: &str, count: usize) -> Vec<TcpStream> {
    pairs(address, count).map(|(_, server)| server).collect()
}

/// Both ends of open connections.
fn open_pairs(address: &str, count: usize) -> Vec<(TcpStream, TcpStream)> {
    pairs(address, count).collect()
}

fn pairs(address: &str, count: usize) -> impl Iterator<Item = (TcpStream, TcpStream)> {
    let listener = TcpListener::bind(address).expect("the address is free");
    let address = listener.local_addr().expect("a bound listener has one");
    (0..count).map(move |_| {
        let client = TcpStream::connect(address).expect("the listener is there");
        let (server, _) = listener.accept().expect("a client has connected");
        (client, server)
    })
}

/// A server that sleeps on its listener edge-triggered while clients wait in its queue.
fn stalled(address: &str, count: usize) {
    let address: SocketAddr = address.parse().expect("holders are given addresses");
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    set_socket_reuseaddr(&listener, true).expect("an option");
    bind(&listener, &address).expect("the address is free");
    let backlog = i32::try_from(count).expect("a backlog");
    listen(&listener, backlog).expect("it can listen");
    let _clients: Vec<TcpStream> = (0..count)
        .map(|_| TcpStream::connect(address).expect("there is room in the queue"))
        .collect();
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll set");
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&set, &listener, epoll::EventData::new_u64(0), flags).expect("it is watched");
    say_ready();
    let mut events = Vec::with_capacity(1);
    // The one edge is taken and no client accepted; from then on it sleeps.
    while epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), None).is_ok() {
        events.clear();
    }
}

fn wait() {
    say_ready();
    let mut rest = Vec::new();
    // An error ends the wait as the end of the pipe does.
    let _ = std::io::stdin().read_to_end(&mut rest);
}

fn say_ready() {
    let mut stdout = std::io::stdout();
    stdout
        .write_all(b"ready\n")
        .expect("the bench waits for it");
    stdout.flush().expect("the bench waits for it");
}
