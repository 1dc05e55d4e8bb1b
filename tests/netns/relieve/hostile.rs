//! Others plant files where the journal is kept, and helper processes that are slow or stopped: the
//! way back is never lost, and nothing is followed, overwritten or waited for without a limit.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use super::killed::watching;
use super::{Aid, headline, helper, helper_waits, listener_lines, stick, with_faults};
use crate::privileges::doctor_for_everybody;
use crate::support::{
    Program, doctor_command, have, have_root, in_private_network, queue, run, start_server, stop,
    wait_until,
};

/// A server whose listener `relieve --method level` has changed for good, and its record.
struct Changed {
    server: Program,
    aid: Aid,
    record: PathBuf,
    before: Vec<String>,
}

impl Changed {
    fn new() -> Self {
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        let level = ["--method", "level", "--watch", "1s", "--yes"];
        let json = aid.run(&[&["--port", "8080"], &level[..]].concat()).json();
        assert_ne!(listener_lines(server.pid()), before, "{json:#}");
        let mut entries = std::fs::read_dir(aid.state.path()).expect("the folder is ours");
        let record = entries.next().expect("there is a record");
        Self {
            record: record.expect("a readable folder").path(),
            server,
            aid,
            before,
        }
    }

    /// `--undo` must refuse, and say this.
    fn refuses(&self, word: &str) {
        let changed = listener_lines(self.server.pid());
        let undone = self.aid.run(&["--port", "8080", "--undo", "--yes"]);
        assert_eq!(undone.status.code(), Some(3), "{}", undone.stderr);
        assert!(undone.stderr.contains(word), "{}", undone.stderr);
        assert_eq!(listener_lines(self.server.pid()), changed);
    }

    fn rewrite(&self, change: impl FnOnce(&mut Value)) {
        let text = std::fs::read(&self.record).expect("the record is ours");
        let mut record = serde_json::from_slice(&text).expect("a record is JSON");
        change(&mut record);
        let text = serde_json::to_vec(&record).expect("JSON has text");
        std::fs::write(&self.record, text).expect("the record is ours");
    }

    fn undo(&self) {
        self.aid.comes_to("undone", &["--undo", "--yes"]);
        assert_eq!(listener_lines(self.server.pid()), self.before);
        assert!(self.aid.is_empty());
    }
}

#[test]
fn a_forged_record_cannot_blind_a_server() {
    in_private_network(|| {
        let changed = Changed::new();
        let original = std::fs::read(&changed.record).expect("the record is ours");
        changed.rewrite(|record| record["registration"]["events"] = 0x18.into());
        changed.refuses("no record");
        std::fs::write(&changed.record, original).expect("the record is ours");
        changed.undo();
    });
}

#[test]
fn a_record_in_a_folder_that_others_may_write_to_is_not_believed() {
    in_private_network(|| {
        let changed = Changed::new();
        let folder = changed.aid.state.path();
        for mode in [0o777, 0o770, 0o1777] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder, mode).expect("the folder is ours");
            changed.refuses("others may write");
        }
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder, mode).expect("the folder is ours");
        changed.undo();
    });
}

#[test]
fn a_fifo_a_link_or_an_endless_file_as_record_is_refused_at_once() {
    in_private_network(|| {
        let changed = Changed::new();
        let kept = changed.aid.state.path().join("kept");
        std::fs::rename(&changed.record, &kept).expect("the folder is ours");

        mknodat(CWD, &changed.record, FileType::Fifo, Mode::RUSR, 0).expect("the folder is ours");
        changed.refuses("not an ordinary file");
        std::fs::remove_file(&changed.record).expect("the folder is ours");

        symlink("/dev/zero", &changed.record).expect("the folder is ours");
        changed.refuses("journal");
        std::fs::remove_file(&changed.record).expect("the folder is ours");

        std::fs::write(&changed.record, vec![b' '; 1 << 20]).expect("the folder is ours");
        changed.refuses("too large");

        std::fs::rename(&kept, &changed.record).expect("the folder is ours");
        changed.undo();
    });
}

#[test]
fn what_others_keep_in_the_folder_is_neither_removed_nor_overwritten() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let aid = Aid::new();
        let victim = aid.state.path().join("victim");
        std::fs::write(&victim, "untouched").expect("the folder is ours");
        for name in ["notes.new", "x.partial"] {
            symlink(&victim, aid.state.path().join(name)).expect("the folder is ours");
        }
        aid.comes_to("relieved", &["--yes"]);
        let left = std::fs::read_dir(aid.state.path()).expect("the folder is ours");
        assert_eq!(left.count(), 3);
        let text = std::fs::read_to_string(&victim).expect("the file is ours");
        assert_eq!(text, "untouched");
    });
}

#[test]
fn without_a_runtime_folder_the_journal_has_to_be_named() {
    in_private_network(|| {
        if !have("setpriv") || !have_root() {
            return;
        }
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let (_folder, doctor) = doctor_for_everybody();
        let temporary = tempfile::tempdir().expect("there is room");
        let everybody = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(temporary.path(), everybody).expect("the folder is ours");
        let refused = run(Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args([
                "--inh-caps=-all,+sys_ptrace,+dac_read_search",
                "--ambient-caps=-all,+sys_ptrace,+dac_read_search",
                "--",
            ])
            .arg(doctor)
            .args(["relieve", "--port", "8080", "--min-age", "300ms", "--yes"])
            .env("TMPDIR", temporary.path())
            .env_remove("XDG_RUNTIME_DIR"));
        let text = String::from_utf8_lossy(&refused.stdout).into_owned() + &refused.stderr;
        assert_eq!(refused.status.code(), Some(3), "{text}");
        assert!(text.contains("--state"), "{text}");
        assert_eq!(queue().length, 3);
        let left = std::fs::read_dir(temporary.path()).expect("the folder is ours");
        assert_eq!(left.count(), 0);
    });
}

#[test]
fn a_helper_that_is_too_slow_and_cannot_be_repaired_leaves_the_way_back() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        // The first helper changes the mask and answers too late; no second one can be started.
        let faults = [
            "inject=epoll_ctl:delay_exit=5000000",
            "inject=pipe2:error=EMFILE:when=4+",
        ];
        let run = with_faults(&aid, &faults, &["--method", "level"]);
        let json = run.any_json();
        assert_eq!(json["outcome"], "failed", "{json:#}");
        assert_eq!(run.status.code(), Some(3), "{json:#}");
        assert_ne!(listener_lines(server.pid()), before, "{json:#}");
        assert!(!aid.is_empty(), "{json:#}");
        assert!(headline(&json).contains("--undo"), "{json:#}");
        aid.comes_to("undone", &["--undo", "--yes"]);
        assert_eq!(listener_lines(server.pid()), before);
        assert!(aid.is_empty());
    });
}

#[test]
fn a_stopped_helper_is_not_waited_for_without_a_limit() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        let mut relieve = watching(&aid, server.pid(), &before, "1s");
        stop(helper().expect("it is watching"));
        relieve.wait().expect("it is our child");
        wait_until("the helper has ended", || !helper_waits());
        // The change is in force and recorded, or neither.
        let in_force = listener_lines(server.pid()) != before;
        assert_eq!(in_force, !aid.is_empty());
        if in_force {
            aid.comes_to("undone", &["--undo", "--yes"]);
        }
        assert_eq!(listener_lines(server.pid()), before);
    });
}

#[test]
fn no_program_is_found_by_path() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let aid = Aid::new();
        let planted = tempfile::tempdir().expect("there is room");
        let mark = planted.path().join("mark");
        for name in ["sh", "closewait-doctor", "helper"] {
            let path = planted.path().join(name);
            let script = format!("#!/bin/sh\n: >{}\n", mark.display());
            std::fs::write(&path, script).expect("the folder is ours");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, mode).expect("the file is ours");
        }
        let arguments = aid.arguments(&["--port", "8080", "--yes"]);
        let json = run(doctor_command(&arguments)
            .env("PATH", planted.path())
            .current_dir(planted.path()))
        .json();
        assert_eq!(json["outcome"], "relieved", "{json:#}");
        assert!(!mark.exists());
    });
}
