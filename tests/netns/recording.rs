//! A look that was saved, and is looked at again, elsewhere and later.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::incident::{Incident, QUEUED};
use crate::support::{
    DEFAULT_GRACE, Program, Report, doctor, doctor_command, example, in_private_network, outlast,
    run, wait_for_queue,
};

fn temporary_folder() -> TempDir {
    tempfile::tempdir().expect("there is room for temporary files")
}

fn record(file: &Path, options: &[&str]) {
    let arguments = [&["record", "--port", "8080", "-o", text(file)], options].concat();
    let run = doctor(&arguments);
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

fn replay(file: &Path) -> Report {
    doctor(&[
        "scan",
        "--port",
        "8080",
        "--format",
        "json",
        "--from",
        text(file),
    ])
    .report()
}

/// Takes fields out of an object.
fn without(mut object: Value, fields: &[&str]) -> Value {
    for field in fields {
        object.as_object_mut().expect("an object").remove(*field);
    }
    object
}

/// A report without what the time of the look and the way to it change.
fn lasting(report: &Report) -> Value {
    without(
        report.json().clone(),
        &["taken_at", "elapsed_ms", "sources", "tool_version"],
    )
}

/// A report without all that passes between two looks: ages, and the sentences that contain them.
fn timeless(report: &Report) -> Value {
    // How many processes there are besides changes from one look to the next. Only a recording has a source.
    let mut json = without(lasting(report), &["blind_spots", "source"]);
    for (list, fields) in [
        ("findings", &["headline", "evidence"][..]),
        ("connections", &["age_ms", "age_at_most_ms"]),
        ("processes", &["running_ms"]),
    ] {
        for item in json[list].as_array_mut().expect("a list") {
            *item = without(item.take(), fields);
        }
    }
    for listener in json["listeners"].as_array_mut().expect("a list") {
        listener["accept_queue"] = without(listener["accept_queue"].take(), &["oldest_ms"]);
    }
    json
}

#[test]
fn a_recording_says_what_the_look_at_the_kernel_said_when_all_is_gone() {
    in_private_network(|| {
        let folder = temporary_folder();
        let file = folder.path().join("incident.recording");
        let incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(DEFAULT_GRACE);
        let live = doctor(&["scan", "--port", "8080", "--format", "json"]).report();
        record(&file, &[]);
        drop(incident);

        let replayed = replay(&file);
        replayed.only("edge-triggered-stall");
        assert_eq!(replayed["sources"]["sockets"], "recording");
        assert_eq!(timeless(&replayed), timeless(&live));
        assert_eq!(
            lasting(&replay(&file)),
            lasting(&replayed),
            "a recording does not age"
        );
    });
}

#[test]
fn a_redacted_recording_says_the_same_without_names() {
    const ADDRESS: &str = "10.20.30.40";
    const SECRET: &str = "customer-4711";
    in_private_network(|| {
        let address = run(Command::new("ip").args(["addr", "add", ADDRESS, "dev", "lo"]));
        assert!(address.status.success(), "{}", address.stderr);
        let mut server = Command::new(example("server"));
        let server =
            Program::start(
                server
                    .arg0(SECRET)
                    .args(["never-accepts", "--address", ADDRESS]),
            );
        server.wait_for_line("ready");
        let _client = std::net::TcpStream::connect((ADDRESS, 8080)).expect("the server listens");
        wait_for_queue(1);
        outlast(DEFAULT_GRACE);

        let folder = temporary_folder();
        let (plain, redacted) = (folder.path().join("plain"), folder.path().join("redacted"));
        record(&plain, &[]);
        record(&redacted, &["--redact"]);
        let (plain, redacted) = (replay(&plain), replay(&redacted));

        assert!(plain.json().to_string().contains(ADDRESS));
        let json = redacted.json().to_string();
        assert!(!json.contains(ADDRESS), "{json}");
        assert!(!json.contains(SECRET), "{json}");
        redacted.only("acceptor-busy");
        assert_eq!(redacted["summary"], plain["summary"]);
    });
}

#[test]
fn a_recording_that_is_cut_short_is_refused_in_one_line() {
    in_private_network(|| {
        with_recording(|recording| {
            for length in [0, 1, 10, recording.len() / 2, recording.len() - 1] {
                assert_refused(&recording[..length]);
            }
        });
    });
}

#[test]
fn a_recording_with_a_changed_byte_is_refused_in_one_line() {
    in_private_network(|| {
        with_recording(|recording| {
            for position in [
                0,
                recording.len() / 3,
                recording.len() / 2,
                recording.len() - 6,
            ] {
                let mut damaged = recording.to_vec();
                damaged[position] ^= 0x55;
                assert_refused(&damaged);
            }
        });
    });
}

#[test]
fn a_file_that_is_neither_recording_nor_table_is_refused_in_one_line() {
    in_private_network(|| {
        let this_program =
            std::fs::read(env!("CARGO_BIN_EXE_closewait-doctor")).expect("it is built");
        assert_refused(&this_program);
        assert_refused(b"the server does not answer, what shall I do?\n");
        assert_refused(b"tcp 46 0 localhost:no-such-service localhost:51004 CLOSE_WAIT -\n");
        assert_refused(br#"{"schema":"closewait-doctor.report/v1"}"#);
    });
}

#[test]
fn a_recording_that_is_not_there_is_refused_in_one_line() {
    in_private_network(|| {
        let folder = temporary_folder();
        assert_refused_file(&folder.path().join("nothing"));
        assert_refused_file(folder.path());
    });
}

/// Makes an honest recording, to be damaged.
fn with_recording(damage: impl Fn(&[u8])) {
    let folder = temporary_folder();
    let file = folder.path().join("recording");
    record(&file, &[]);
    replay(&file);
    damage(&std::fs::read(&file).expect("it was just written"));
}

fn assert_refused(bytes: &[u8]) {
    let folder = temporary_folder();
    let file = folder.path().join("recording");
    std::fs::write(&file, bytes).expect("the folder is ours");
    assert_refused_file(&file);
}

fn assert_refused_file(file: &Path) {
    let run = doctor(&["scan", "--from", text(file)]);
    assert_eq!(run.status.code(), Some(3), "{}", run.stderr);
    assert_eq!(run.stdout.escape_ascii().to_string(), "");
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(
        run.stderr.contains(text(file)),
        "{} does not name the file",
        run.stderr
    );
}

#[test]
fn a_recording_is_its_owners_alone_and_follows_no_planted_link() {
    in_private_network(|| {
        let folder = temporary_folder();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "untouched").expect("the folder is ours");
        let file = folder.path().join("incident.recording");
        let partial = folder.path().join("incident.recording.partial");
        for planted in [&file, &partial] {
            symlink(&victim, planted).expect("the folder is ours");
        }
        record(&file, &[]);
        let kept = std::fs::read_to_string(&victim).expect("the file is ours");
        assert_eq!(kept, "untouched");
        let written = std::fs::symlink_metadata(&file).expect("it was written");
        assert!(written.is_file());
        assert_eq!(written.permissions().mode() & 0o777, 0o600);
        let entries = std::fs::read_dir(folder.path()).expect("the folder is ours");
        assert_eq!(entries.count(), 3, "nothing unfinished is left");
        replay(&file);
    });
}

#[test]
fn a_recording_may_have_a_name_that_is_not_text() {
    in_private_network(|| {
        let folder = temporary_folder();
        let file = folder.path().join(OsStr::from_bytes(b"incident-\xe9"));
        let mut recorded = doctor_command(&["record", "--port", "8080", "-o"]);
        let recorded = run(recorded.arg(&file));
        assert_eq!(recorded.status.code(), Some(0), "{}", recorded.stderr);
        let mut replayed = doctor_command(&["scan", "--format", "json", "--from"]);
        run(replayed.arg(&file)).report();
    });
}

#[test]
fn standard_output_stays_the_file_that_it_is() {
    in_private_network(|| {
        let folder = temporary_folder();
        let file = folder.path().join("redirected");
        let redirected = std::fs::File::create(&file).expect("the folder is ours");
        let arguments = ["record", "--port", "8080", "-o", "/dev/stdout"];
        let status = doctor_command(&arguments)
            .stdout(redirected)
            .status()
            .expect("the doctor is built");
        assert_eq!(status.code(), Some(0));
        replay(&file);
    });
}
