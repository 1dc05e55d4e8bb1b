//! Who holds a socket is found in one pass inside the kernel, or by following the links of `/proc`: the answers are the
//! same.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{
    Report, SCAN, SHORT_GRACE, doctor_command, have, have_folder, have_root, in_private_network,
    items, outlast, reset, run, wait_for_close_waits, wait_until,
};

/// Without these the kernel runs no program of ours.
const WITHOUT_BPF: [&str; 2] = ["--bounding-set=-bpf,-perfmon,-sys_admin", "--"];

/// Holds connections in many ways, and enough files that one pass over all is worthwhile. Each line it reads is answered
/// when that many connections have been accepted.
const SERVER: &str = "
import ctypes, os, resource, select, socket, sys, threading, time
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
ballast = [open('/dev/null') for _ in range(3500)]
listener = socket.create_server(('127.0.0.1', 8080), backlog=64)
inner, outer = select.epoll(), select.epoll()
inner.register(listener, select.EPOLLIN | select.EPOLLET)
outer.register(inner.fileno(), select.EPOLLIN)
others = [socket.socket(socket.AF_UNIX), socket.socket(type=socket.SOCK_DGRAM), os.pipe(), os.eventfd(0)]
new = [socket.socket() for _ in range(30)]
held = []
print('ready', flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        held.append(listener.accept()[0])
        if len(held) % 3 == 0:
            inner.register(held[-1], select.EPOLLIN | select.EPOLLET)
        if len(held) % 7 == 0:
            held.append(held[-1].dup())
    print('accepted', flush=True)
    if len(held) > 30:
        break
if os.fork() == 0:
    # The child keeps half of what it inherited, and ends but for one thread.
    for one in held[::2]:
        one.close()
    threading.Thread(target=time.sleep, args=(600,)).start()
    ctypes.CDLL(None).syscall(60, 0)
print('forked', flush=True)
outer.poll()
time.sleep(600)
";

struct Server(Child);

impl Server {
    fn start() -> Self {
        let server = Command::new("python3")
            .args(["-c", SERVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let server = Self(server.expect("python3 runs"));
        wait_until("it listens", || {
            TcpStream::connect("127.0.0.1:8080").is_ok()
        });
        server
    }

    fn accepts(&mut self, connections: usize) {
        let stdin = self.0.stdin.as_mut().expect("it was piped");
        writeln!(stdin, "{connections}").expect("it reads");
    }

    fn children(&self) -> Vec<u32> {
        let pid = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("it is there");
        children
            .split_whitespace()
            .map(|pid| pid.parse().expect("a pid"))
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let children = self.children();
        let pids = children.into_iter().chain([self.0.id()]);
        for pid in pids.filter_map(|pid| rustix::process::Pid::from_raw(pid.try_into().ok()?)) {
            // A process that has ended needs no signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        drop(self.0.wait());
    }
}

#[test]
fn one_pass_in_the_kernel_finds_what_the_links_of_procfs_show() {
    in_private_network(|| {
        if !have_root() || !have("setpriv") || !have("python3") || !have_folder("/sys/kernel/btf") {
            return;
        }
        let mut server = Server::start();
        let clients = |number| -> Vec<TcpStream> {
            (0..number)
                .map(|_| TcpStream::connect("127.0.0.1:8080").expect("it listens"))
                .collect()
        };
        // The one that found out that it listens is the first.
        let mut all = clients(56);
        server.accepts(20);
        server.accepts(35);
        wait_until("it has a child", || server.children().len() == 1);
        all.drain(20..45).for_each(reset);
        drop(all.drain(..15));
        wait_for_close_waits(16, |_| true);
        outlast(SHORT_GRACE);

        let in_kernel = run(&mut doctor_command(&SCAN)).report();
        let doctor = env!("CARGO_BIN_EXE_closewait-doctor");
        let mut without = Command::new("setpriv");
        let by_links = run(without.args(WITHOUT_BPF).arg(doctor).args(SCAN)).report();

        assert_eq!(in_kernel["sources"]["owners"], "bpf");
        assert_eq!(by_links["sources"]["owners"], "procfs");
        let (one, other) = (relations(&in_kernel), relations(&by_links));
        assert_eq!(one, other, "{one:#}\n{other:#}");
        // And there was something to find.
        let owners = |connection: &&Value| items(&connection["owners"]).count();
        assert!(in_kernel.close_waits().iter().any(|one| owners(one) > 2));
        assert_eq!(items(&in_kernel["processes"]).count(), 2);
        let ids: Vec<&Value> = items(&in_kernel["findings"])
            .map(|one| &one["id"])
            .collect();
        assert!(ids.contains(&&json!("dead-descriptor")), "{ids:?}");
    });
}

/// Who holds what and how, without what changes from look to look.
fn relations(report: &Report) -> Value {
    let pick = |list: &str, fields: &[&str]| -> Value {
        let rows = items(&report[list]).map(|row| {
            let picked = fields
                .iter()
                .map(|field| ((*field).to_owned(), row[*field].clone()));
            Value::Object(picked.collect())
        });
        let mut rows: Vec<Value> = rows.collect();
        rows.sort_by_key(Value::to_string);
        rows.into()
    };
    json!({
        "findings": pick("findings", &["id", "severity", "subject", "connections"]),
        "listeners": pick("listeners", &["local", "inode", "owners", "watchers"]),
        "connections": pick("connections", &["local", "remote", "inode", "place", "owners"]),
        "processes": pick("processes", &["pid", "fds", "examined", "close_wait"]),
        "close_wait": report["summary"]["close_wait"],
    })
}
