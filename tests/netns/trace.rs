//! `trace` on the real kernel: what it sees of servers whose behaviour is known, and what it leaves behind.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{
    PORT, Program, close, connect, connect_many, doctor, doctor_command, example, have_root,
    in_private_network, items, reset, run, send, start_server, talk, wait_for_queue, wait_until,
};

/// A running trace, and what it printed.
struct Running {
    child: Child,
    output: std::fs::File,
}

impl Running {
    /// Starts a trace, and waits until it follows.
    fn start(more: &[&str]) -> Self {
        let arguments = [&["trace", "--port", "8080", "--format", "json"], more].concat();
        let output = tempfile::tempfile().expect("there is room for temporary files");
        let child = doctor_command(&arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("an open file"))
            .spawn()
            .expect("the doctor starts");
        let running = Self { child, output };
        wait_until("the trace has begun", || !running.lines().is_empty());
        running
    }

    fn lines(&self) -> Vec<Value> {
        use std::os::unix::fs::FileExt;
        let size = self.output.metadata().expect("an open file").len();
        let mut bytes = vec![0; usize::try_from(size).expect("a small file")];
        self.output
            .read_exact_at(&mut bytes, 0)
            .expect("a readable file");
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let lines = bytes[..whole].split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("a line is JSON"))
            .collect()
    }

    /// Waits until it ends by itself.
    fn end(mut self) -> Seen {
        let mut status = None;
        wait_until("the trace ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        assert_eq!(status.and_then(|status| status.code()), Some(0));
        Seen {
            lines: self.lines(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a trace that has ended printed.
struct Seen {
    lines: Vec<Value>,
}

impl Seen {
    fn events(&self, kind: &str) -> Vec<&Value> {
        let lines = self.lines.iter();
        lines.filter(|line| line["event"] == kind).collect()
    }

    fn conclusion(&self) -> &Value {
        let last = self.lines.last().expect("a trace has an end");
        assert_eq!(last["type"], "conclusion", "{last:#}");
        last
    }

    /// The only thread that serves the listener, with this verdict.
    fn acceptor(&self, verdict: &str) -> &Value {
        let acceptors = &self.conclusion()["acceptors"];
        let [acceptor] = &items(acceptors).collect::<Vec<_>>()[..] else {
            panic!("expected one acceptor: {:#}", self.conclusion())
        };
        assert_eq!(acceptor["verdict"], verdict, "{:#}", self.conclusion());
        acceptor
    }

    fn says(&self, part: &str) -> bool {
        items(&self.conclusion()["so"])
            .any(|text| text.as_str().is_some_and(|text| text.contains(part)))
    }
}

fn traced<Test: Fn()>(test: Test) {
    if have_root() {
        in_private_network(test);
    }
}

#[test]
fn a_loop_that_stops_before_eagain_is_proved_with_its_numbers() {
    traced(|| {
        let server = Program::start(Command::new(example("incident")).arg("server"));
        server.wait_for_line("listening");
        let trace = Running::start(&["--for", "3s"]);
        let clients =
            Program::start(Command::new(example("incident")).args(["client", "--hold", "60"]));
        clients.wait_for_line("holding");
        let seen = trace.end();

        let acceptor = seen.acceptor("stops-before-eagain");
        assert_eq!(acceptor["pid"], server.pid());
        assert_eq!(acceptor["left_in_queue"], 23);
        assert_eq!(acceptor["stopped"], 1);
        assert_eq!(acceptor["edge_triggered"], true);
        assert!(
            seen.says("without reaching EAGAIN"),
            "{:#}",
            seen.conclusion()
        );
        assert_eq!(seen.conclusion()["arrived"], 25);
        assert_eq!(seen.conclusion()["accepted"], 2);
        assert_eq!(seen.conclusion()["has_fault"], true);
    });
}

#[test]
fn a_level_triggered_loop_is_not_accused() {
    traced(|| assert_cured("level", "leaves-rest-to-next-wake-up"));
}

#[test]
fn a_loop_that_drains_the_queue_serves() {
    traced(|| assert_cured("drain", "serves"));
}

fn assert_cured(cure: &str, verdict: &str) {
    let server = Program::start(Command::new(example("incident")).args(["server", "--cure", cure]));
    server.wait_for_line("listening");
    let trace = Running::start(&["--for", "2s"]);
    let clients =
        Program::start(Command::new(example("incident")).args(["client", "--hold", "60"]));
    clients.wait_for_line("holding");
    wait_for_queue(0);
    let seen = trace.end();
    assert_eq!(seen.conclusion()["accepted"], 25, "{:#}", seen.conclusion());
    seen.acceptor(verdict);
}

#[test]
fn a_trace_until_something_is_stuck_ends_when_it_is() {
    traced(|| {
        let server = Program::start(Command::new(example("incident")).arg("server"));
        server.wait_for_line("listening");
        let trace = Running::start(&["--for", "15s", "--until-stuck"]);
        let clients =
            Program::start(Command::new(example("incident")).args(["client", "--hold", "60"]));
        clients.wait_for_line("holding");
        let seen = trace.end();
        seen.acceptor("stops-before-eagain");
        let elapsed = seen
            .lines
            .iter()
            .find(|line| line["type"] == "end")
            .expect("an end");
        assert!(
            elapsed["elapsed_us"].as_u64() < Some(14_000_000),
            "{elapsed}"
        );
    });
}

#[test]
fn accept_without_descriptors_is_named_by_its_error() {
    traced(|| {
        let _server = start_server(&["descriptor-limit", "--descriptors", "20", "--then", "stall"]);
        let trace = Running::start(&["--for", "2s"]);
        let _clients = connect_many(40);
        let seen = trace.end();
        let acceptor = seen.acceptor("accept-fails");
        // EAGAIN comes before it where the server empties the queue between two clients.
        let failures = acceptor["failures"].as_array().expect("a list");
        let is_named = failures.iter().any(|failure| failure["errno"] == 24);
        assert!(is_named, "{acceptor:#}");
        assert!(seen.says("EMFILE"), "{:#}", seen.conclusion());
    });
}

#[test]
fn a_listener_that_no_thread_accepts_from_is_said_to_be_so() {
    traced(|| {
        let _server = start_server(&["never-accepts"]);
        let trace = Running::start(&["--for", "1500ms"]);
        let _clients = connect_many(3);
        let seen = trace.end();
        assert_eq!(seen.conclusion()["waiting"], 3, "{:#}", seen.conclusion());
        assert!(
            seen.says("no thread called accept"),
            "{:#}",
            seen.conclusion()
        );
    });
}

#[test]
fn who_closed_and_who_was_reset_are_told_apart() {
    traced(|| {
        let server = start_server(&["healthy"]);
        let trace = Running::start(&["--for", "2s"]);
        let mut closed = connect();
        talk(&mut closed);
        close(closed);
        let mut broken = connect();
        talk(&mut broken);
        reset(broken);
        let seen = trace.end();

        let to = |from: u64, to: u64| {
            let changes = seen.events("state").into_iter();
            changes
                .filter(|change| change["from"] == from && change["to"] == to)
                .collect::<Vec<_>>()
        };
        let [last_ack] = to(8, 9)[..] else {
            panic!("{:#?}", seen.lines)
        };
        assert_eq!(
            last_ack["pid"],
            server.pid(),
            "CLOSE_WAIT to LAST_ACK is a close()"
        );
        let [fin] = to(1, 8)[..] else {
            panic!("{:#?}", seen.lines)
        };
        assert!(fin["pid"].is_null(), "no thread receives a FIN");
        let [broke] = to(1, 7)[..] else {
            panic!("{:#?}", seen.lines)
        };
        assert!(broke["pid"].is_null(), "no thread receives a reset");
        assert_eq!(seen.events("end_read").len(), 1);
        seen.acceptor("serves");
    });
}

#[test]
fn connections_that_are_never_closed_are_counted_with_what_was_read() {
    traced(|| {
        let server = start_server(&["unclosed-after-eof"]);
        let trace = Running::start(&["--for", "2s", "--min-age", "300ms"]);
        for _ in 0..3 {
            let mut client = connect();
            send(&mut client, b"a request");
            close(client);
        }
        let seen = trace.end();
        let left = &seen.conclusion()["left_open"][0];
        assert_eq!(left["pid"], server.pid(), "{:#}", seen.conclusion());
        assert_eq!(left["after_end_read"], 3, "{left:#}");
        assert_eq!(left["end_unread"], 0, "{left:#}");
    });
}

#[test]
fn a_killed_process_is_not_said_to_have_called_close() {
    traced(|| {
        let server = start_server(&["healthy"]);
        let trace = Running::start(&["--for", "2s"]);
        let mut client = connect();
        talk(&mut client);
        drop(server);
        let seen = trace.end();
        let ending = seen
            .events("state")
            .into_iter()
            .filter(|change| change["ending"] == true);
        assert!(ending.count() >= 1, "{:#?}", seen.lines);
    });
}

#[test]
fn another_port_is_not_followed() {
    traced(|| {
        let _server = start_server(&["--port", "8081", "healthy"]);
        let trace = Running::start(&["--for", "1s"]);
        let mut client =
            std::net::TcpStream::connect(("127.0.0.1", 8081)).expect("the server listens");
        client.write_all(b"hello").expect("the connection is open");
        drop(client);
        let seen = trace.end();
        let events = seen.lines.iter().filter(|line| line["type"] == "event");
        assert_eq!(events.count(), 0, "{:#?}", seen.lines);
    });
}

#[test]
fn a_saved_trace_says_the_same_again() {
    traced(|| {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let file = folder.path().join("trace.jsonl");
        let file = file.to_str().expect("a plain path");
        let _server = start_server(&["stall", "--stops", "after-one"]);
        let trace = Running::start(&["--for", "2s", "-o", file]);
        let _clients = connect_many(4);
        let seen = trace.end();
        let again = doctor(&["trace", "--from", file, "--format", "json"]);
        assert_eq!(again.status.code(), Some(0), "{}", again.stderr);
        let again: Vec<Value> = String::from_utf8(again.stdout)
            .expect("JSON is text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect();
        assert_eq!(again, seen.lines);
    });
}

#[test]
fn a_trace_that_is_killed_leaves_nothing_in_the_kernel() {
    traced(|| {
        let mut trace = Running::start(&["--for", "60s"]);
        let loaded = programs(&trace.child.id().to_string());
        assert_eq!(loaded.len(), 3, "{loaded:?}");
        trace.child.kill().expect("it is our child");
        trace.child.wait().expect("it is our child");
        let processes = std::fs::read_dir("/proc").expect("procfs is mounted");
        let left = processes
            .flatten()
            .flat_map(|process| programs(&process.file_name().to_string_lossy()));
        assert_eq!(left.filter(|id| loaded.contains(id)).count(), 0);
    });
}

/// The BPF programs that a process holds, by the kernel's ids for them.
fn programs(pid: &str) -> std::collections::BTreeSet<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fdinfo"));
    let texts = entries.into_iter().flatten().flatten();
    texts
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("prog_id:"))?;
            Some(line.split_whitespace().nth(1)?.to_owned())
        })
        .collect()
}

#[test]
fn without_privileges_sockets_are_polled_and_that_is_said() {
    traced(|| {
        let _server = start_server(&["never-accepts"]);
        let bare = [
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--ambient-caps=-all",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_closewait-doctor"),
            "trace",
            "--port",
            "8080",
            "--for",
            "1s",
        ];
        let _clients = connect_many(2);
        let seen = run(Command::new("setpriv").args(bare));
        let text = String::from_utf8_lossy(&seen.stdout);
        assert_eq!(seen.status.code(), Some(0), "{}", seen.stderr);
        assert!(text.contains("nothing can be traced"), "{text}");
        assert!(text.contains("CAP_BPF"), "{text}");
        assert_eq!(PORT, 8080);
    });
}
