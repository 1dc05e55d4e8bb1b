//! A user whose copy of the program carries file capabilities sees servers of others, and learns nothing else.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::incident::{Incident, QUEUED};
use crate::privileges::doctor_for_everybody;
use crate::support::{
    Run, SCAN, SHORT_GRACE, assert_blames, have, have_root, in_private_network, outlast, run,
    wait_for_queue,
};

const CAPABILITIES: &str = "cap_sys_ptrace,cap_dac_read_search+ep";
const SECRET: &str = "TOP-SECRET-CONTENT";

/// A copy of the program that lends its rights; nothing where that cannot be made here.
fn lending_doctor() -> Option<(TempDir, PathBuf)> {
    if !have("setcap") || !have("setpriv") || !have_root() {
        return None;
    }
    let (folder, doctor) = doctor_for_everybody();
    let set = run(Command::new("setcap").arg(CAPABILITIES).arg(&doctor));
    assert!(set.status.success(), "{}", set.stderr);
    Some((folder, doctor))
}

fn as_nobody(doctor: &Path, arguments: &[&str]) -> Run {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let mut command = Command::new("setpriv");
    run(command.args(nobody).arg(doctor).args(arguments))
}

/// All that a run says, without names of files and how long a look took.
fn said(run: &Run, names: &[&str]) -> String {
    let mut said = format!(
        "{:?}\n{}\n{}",
        run.status.code(),
        String::from_utf8_lossy(&run.stdout),
        run.stderr
    );
    for name in names {
        said = said.replace(name, "NAME");
    }
    let is_time = |word: &str| word.starts_with('(') && word[1..].parse::<u32>().is_ok();
    said.split(' ')
        .filter(|word| !is_time(word))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_server_of_root_is_explained_with_borrowed_rights() {
    in_private_network(|| {
        let Some((_folder, doctor)) = lending_doctor() else {
            return;
        };
        let incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        let report = as_nobody(&doctor, &SCAN).report();
        let finding = report.only("edge-triggered-stall");
        assert_eq!(finding["confidence"], "certain", "{finding:#}");
        assert_blames(finding, &[incident.server_pid()]);
    });
}

#[test]
fn no_option_that_takes_a_path_is_served_with_borrowed_rights() {
    in_private_network(|| {
        let Some((folder, doctor)) = lending_doctor() else {
            return;
        };
        let private = folder.path().join("private");
        fs::create_dir(&private).expect("the folder is ours");
        fs::write(private.join("there"), SECRET).expect("the folder is ours");
        fs::set_permissions(&private, Permissions::from_mode(0o700)).expect("it is ours");

        // A tree that looks like procfs, with links to the secret.
        let tree = folder.path().join("tree");
        let net = tree.join("thread-self/net");
        fs::create_dir_all(&net).expect("the folder is ours");
        for name in ["tcp", "tcp6", "sockstat", "netstat"] {
            symlink(private.join("there"), net.join(name)).expect("the folder is ours");
        }
        let tree = tree.to_str().expect("it is text");

        let there = private.join("there");
        let missing = private.join("missing");
        let [there, missing] = [&there, &missing].map(|path| path.to_str().expect("it is text"));
        let output = private.join("output");
        let output = output.to_str().expect("it is text");
        let asked = |path: &str| {
            let attempts: [&[&str]; 9] = [
                &["scan", "--from", path],
                &["check", "--from", path],
                &["scan", "--netns", path],
                &["check", "--netns", path],
                &["scan", "--procfs", path],
                &["probe", "--port", "8080", "--payload", path],
                &["relieve", "--port", "8080", "--state", path],
                &["relieve", "--undo", "--port", "8080", "--state", path],
                &["helper", path, "accept"],
            ];
            attempts.map(|arguments| said(&as_nobody(&doctor, arguments), &[there, missing]))
        };
        for (with, without) in asked(there).into_iter().zip(asked(missing)) {
            assert!(!with.contains(SECRET), "{with}");
            assert_eq!(with, without, "it tells which files of others exist");
        }
        for arguments in [
            &["record", "--procfs", tree, "-o", "-"][..],
            &["scan", "--procfs", tree, "--source", "procfs"],
            &["record", "-o", output],
        ] {
            let run = as_nobody(&doctor, arguments);
            assert!(!said(&run, &[]).contains(SECRET), "{arguments:?}");
        }
        assert!(!Path::new(output).exists());
    });
}

#[test]
fn the_helper_process_does_not_run_with_borrowed_rights() {
    in_private_network(|| {
        let Some((_folder, doctor)) = lending_doctor() else {
            return;
        };
        let refused = as_nobody(&doctor, &["helper", "/proc", "accept"]);
        assert_eq!(refused.status.code(), Some(3));
        assert!(
            refused.stderr.contains("borrowed rights"),
            "{}",
            refused.stderr
        );
    });
}

#[test]
fn a_recording_holds_nothing_that_was_read_with_borrowed_rights() {
    in_private_network(|| {
        let Some((folder, doctor)) = lending_doctor() else {
            return;
        };
        let _incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
        let file = folder.path().join("recording");
        let name = file.to_str().expect("it is text");
        let recorded = as_nobody(
            &doctor,
            &["record", "--port", "8080", "--min-age", "300ms", "-o", name],
        );
        assert!(recorded.status.success(), "{}", recorded.stderr);
        let replayed = run(Command::new(&doctor)
            .args(["scan", "--format", "json", "--from"])
            .arg(&file));
        replayed.report().only("accept-queue-stranded");
    });
}
