//! What comes from a process or goes to a terminal that is not there.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::{
    Crowd, Program, SHORT_GRACE, connect_many, doctor, doctor_command, example, in_private_network,
    outlast, scan, start_server, wait_for_queue,
};

/// Changes the colour, then the title of a terminal; ends a quoted string, a line, and UTF-8.
const HOSTILE: &[u8] = b"\x1b[31m\x1b]0;title\x07\"'\n\xff\r<b>&";

/// A server that is hostile in its name, its arguments and the path of its program, with clients in its queue.
fn with_hostile_server(look: impl Fn()) {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let hostile_folder = folder.path().join(OsStr::from_bytes(HOSTILE));
    std::fs::create_dir(&hostile_folder).expect("the folder is ours");
    let program = hostile_folder.join("server");
    std::fs::copy(example("server"), &program).expect("the folder is ours");

    let server = Program::start(
        Command::new(program)
            .arg0(OsStr::from_bytes(HOSTILE))
            .arg("hostile-name"),
    );
    server.wait_for_line("ready");
    let _crowd = Crowd::connect();
    wait_for_queue(Crowd::SIZE);
    outlast(SHORT_GRACE);
    look();
}

fn table(color: &str) -> Vec<u8> {
    let run = doctor(&[
        "scan",
        "--port",
        "8080",
        "--min-age",
        "300ms",
        "--color",
        color,
    ]);
    assert!(run.status.success(), "{}", run.stderr);
    run.stdout
}

#[test]
fn a_hostile_name_is_harmless_in_a_table() {
    in_private_network(|| {
        with_hostile_server(|| {
            let text = String::from_utf8(table("never")).expect("a table is UTF-8");
            assert!(text.contains("acceptor-busy"), "{text}");
            let dangerous = |character: char| character.is_control() && character != '\n';
            assert!(!text.contains(dangerous), "{text:?}");
        });
    });
}

#[test]
fn a_hostile_name_is_harmless_in_a_coloured_table() {
    in_private_network(|| {
        with_hostile_server(|| {
            let text = String::from_utf8(table("always")).expect("a table is UTF-8");
            assert!(text.contains("\x1b["), "{text:?} is not coloured");
            assert!(!text.contains("\x1b[31m\""), "{text:?}");
            assert!(!text.contains("\x1b]"), "{text:?}");
            assert!(!text.contains(['\x07', '\r']), "{text:?}");
        });
    });
}

#[test]
fn a_hostile_name_is_harmless_in_json() {
    in_private_network(|| {
        with_hostile_server(|| {
            let run = scan(&[]);
            run.report().only("acceptor-busy");
            let dangerous = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
            assert!(
                !run.stdout.iter().any(dangerous),
                "{}",
                run.stdout.escape_ascii()
            );
        });
    });
}

#[test]
fn a_reader_who_left_is_no_failure() {
    in_private_network(|| {
        let _server = start_server(&["never-accepts"]);
        let _clients = connect_many(20);
        outlast(SHORT_GRACE);
        for format in ["table", "json"] {
            let mut doctor = doctor_command(&["scan", "--format", format, "--min-age", "300ms"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the doctor is built");
            drop(doctor.stdout.take());
            let mut complaint = String::new();
            let mut stderr = doctor.stderr.take().expect("stderr is a pipe");
            stderr.read_to_string(&mut complaint).expect("text");
            let status = doctor.wait().expect("it is our child");
            let killed_by_pipe = status.signal() == Some(Signal::PIPE.as_raw());
            assert!(
                status.success() || killed_by_pipe,
                "{format}: {status}: {complaint}"
            );
            assert_eq!(complaint, "", "{format}");
        }
    });
}
