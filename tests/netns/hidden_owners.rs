//! Connections in `CLOSE_WAIT` whose descriptor is not where one looks for it first.

use std::process::Command;

use serde_json::Value;

use crate::support::{
    Program, SHORT_GRACE, assert_blames, connect, have, have_module, in_private_network, items,
    outlast, scan, wait_for_close_waits,
};

/// A server that has accepted one client and hidden its descriptor; the client has left.
struct Hidden {
    server: Program,
}

impl Hidden {
    /// Runs a Python server, which has `libc` and prints `ready`, then `hidden`.
    fn python(server: &str) -> Self {
        const PREAMBLE: &str = "
import ctypes, os, socket, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
listener = socket.create_server(('127.0.0.1', 8080))
def say(line):
    print(line, flush=True)
say('ready')
";
        let script = format!("{PREAMBLE}{server}");
        let server = Program::start(Command::new("python3").args(["-c", &script]));
        server.wait_for_line("ready");
        let client = connect();
        server.wait_for_line("hidden");
        drop(client);
        wait_for_close_waits(1, |unread| unread == 1);
        outlast(SHORT_GRACE);
        Self { server }
    }

    /// The connection's only owner, who is blamed for not reading it.
    fn owner(&self) -> Value {
        let report = scan(&[]).report();
        let connections = report.close_waits();
        let [connection] = connections[..] else {
            panic!("one connection is in CLOSE_WAIT: {:#}", report.json())
        };
        assert_eq!(connection["place"], "process", "{connection:#}");
        let owners: Vec<&Value> = items(&connection["owners"]).collect();
        let [owner] = owners[..] else {
            panic!("it has one owner: {connection:#}")
        };
        assert_eq!(owner["pid"], self.server.pid(), "{connection:#}");
        assert_blames(report.only("unread-eof"), &[self.server.pid()]);
        assert_eq!(report["summary"]["close_wait"]["unattributed"], 0);
        let process = items(&report["processes"]).find(|process| process["pid"] == owner["pid"]);
        let process = process.expect("the owner is shown");
        assert_eq!(process["examined"], true, "{process:#}");
        owner.clone()
    }
}

#[test]
fn a_process_whose_main_thread_has_ended_is_an_owner() {
    const SERVER: &str = "
def live_on():
    main = f'/proc/self/task/{os.getpid()}/stat'
    while open(main).read().rsplit(') ', 1)[1][0] != 'Z':
        time.sleep(0.01)
    say('hidden')
    time.sleep(600)
client, _ = listener.accept()
threading.Thread(target=live_on).start()
libc.pthread_exit(None)";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let owner = Hidden::python(SERVER).owner();
        assert!(owner["fd"].as_u64() > Some(2), "{owner:#}");
    });
}

#[test]
fn a_thread_with_descriptors_of_its_own_is_an_owner() {
    const SERVER: &str = "
def keep_for_itself():
    CLONE_FILES = 0x400
    check(libc.unshare(CLONE_FILES))
    client, _ = listener.accept()
    say('hidden')
    time.sleep(600)
threading.Thread(target=keep_for_itself).start()
time.sleep(600)";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let owner = Hidden::python(SERVER).owner();
        assert_eq!(owner["via"], "thread", "{owner:#}");
        assert!(owner["fd"].as_u64() > Some(2), "{owner:#}");
    });
}

#[test]
fn a_process_that_gave_its_connection_to_io_uring_is_an_owner() {
    /// A host may forbid io_uring, altogether or to us.
    const IO_URING: &str = "
import ctypes, sys
ring = ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120))
sys.exit(ring < 0)";
    const SERVER: &str = "
SETUP, REGISTER, REGISTER_FILES = 425, 427, 2
if os.fork() == 0:
    time.sleep(600)  # the listener's owner, not the connection's
ring = check(libc.syscall(SETUP, 4, ctypes.create_string_buffer(120)))
client, _ = listener.accept()
files = (ctypes.c_int * 1)(client.fileno())
check(libc.syscall(REGISTER, ring, REGISTER_FILES, files, 1))
client.close()
listener.close()
say('hidden')
time.sleep(600)";
    in_private_network(|| {
        if !have("python3") || !have_module("python3", &["-c", IO_URING]) {
            return;
        }
        let owner = Hidden::python(SERVER).owner();
        assert_eq!(owner["via"], "io_uring", "{owner:#}");
    });
}
