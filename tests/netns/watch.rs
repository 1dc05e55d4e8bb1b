//! `watch` on the real kernel: as lines, as JSON, and on a terminal that tmux makes.

use std::process::Command;

use serde_json::Value;

use crate::incident::{Incident, QUEUED};
use crate::support::{
    SHORT_GRACE, doctor, have, in_private_network, outlast, wait_for_queue, wait_until,
};

/// A terminal in which a command of the doctor runs.
struct Terminal {
    socket: tempfile::TempDir,
}

impl Terminal {
    fn start(columns: u16, lines: u16, arguments: &str) -> Self {
        let terminal = Self {
            socket: tempfile::tempdir().expect("there is room for temporary files"),
        };
        let doctor = env!("CARGO_BIN_EXE_closewait-doctor");
        // The shell stays, and shows that the terminal is left as it was.
        let command = format!("{doctor} {arguments}; echo ended with $?; exec cat");
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns.to_string(),
            "-y",
            &lines.to_string(),
            &command,
        ]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.socket.path().join("socket"))
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn wait_for(&self, text: &str) {
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(text, || {
                last = self.screen();
                last.contains(text)
            });
        }));
        assert!(seen.is_ok(), "{text:?} is not on the screen:\n{last}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn recording(name: &str) -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    format!("{here}/tests/recordings/{name}.rec")
}

#[test]
fn every_key_does_what_help_says() {
    in_private_network(|| {
        if !have("tmux") {
            return;
        }
        let _incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        let terminal = Terminal::start(120, 30, "watch --interval 200ms --min-age 300ms");
        terminal.wait_for("CRITICAL  edge-triggered-stall");
        terminal.wait_for("23 / 511");
        terminal.press("Enter");
        terminal.wait_for("edge-triggered-stall: 23 connections");
        terminal.press("e");
        terminal.wait_for("# edge-triggered-stall");
        terminal.press("j");
        terminal.press("Escape");
        terminal.wait_for("edge-triggered-stall: 23 connections");
        terminal.press("Escape");
        terminal.wait_for("23 / 511");
        terminal.press("Down");
        terminal.press("Enter");
        terminal.wait_for("held by incident");
        terminal.press("Escape");
        terminal.wait_for("23 / 511");
        terminal.press("?");
        terminal.wait_for("this help");
        terminal.press("Escape");
        terminal.wait_for("23 / 511");
        terminal.press("s");
        terminal.wait_for("s sort (connections)");
        terminal.press("p");
        terminal.wait_for("PAUSED");
        terminal.press("p");
        terminal.press("/");
        terminal.press("nothing");
        terminal.wait_for("/nothing_");
        assert!(!terminal.screen().contains("23 / 511"));
        terminal.press("Escape");
        terminal.wait_for("23 / 511");
        terminal.tmux(&["resize-window", "-x", "20", "-y", "4"]);
        terminal.tmux(&["resize-window", "-x", "100", "-y", "24"]);
        terminal.wait_for("23 / 511");
        terminal.press("q");
        terminal.wait_for("ended with 0");
        assert!(!terminal.screen().contains("23 / 511"));
    });
}

#[test]
fn a_finding_that_goes_is_shown_as_gone() {
    in_private_network(|| {
        if !have("tmux") {
            return;
        }
        let incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        let terminal = Terminal::start(120, 30, "watch --interval 200ms --min-age 300ms");
        terminal.wait_for("steady");
        drop(incident);
        terminal.wait_for("gone");
        terminal.press("C-c");
        terminal.wait_for("ended with 0");
    });
}

#[test]
fn recordings_are_played_back_and_forth() {
    in_private_network(|| {
        if !have("tmux") {
            return;
        }
        let (silent, sick) = (
            recording("edge-triggered-stall/silent"),
            recording("edge-triggered-stall/sick"),
        );
        let terminal = Terminal::start(120, 30, &format!("watch --from {silent} {sick}"));
        terminal.wait_for("1 of 2");
        terminal.press("Right");
        terminal.wait_for("2 of 2");
        terminal.wait_for("CRITICAL  edge-triggered-stall");
        terminal.press("Left");
        terminal.wait_for("1 of 2");
        terminal.press("q");
        terminal.wait_for("ended with 0");
    });
}

#[test]
fn a_series_that_was_recorded_is_rotated_and_can_be_played() {
    in_private_network(|| {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let output = folder.path().join("look.rec");
        let output = output.to_str().expect("UTF-8");
        let run = doctor(&[
            "record", "-o", output, "--every", "200ms", "--for", "1500ms", "--keep", "2",
        ]);
        assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
        let entries = std::fs::read_dir(folder.path()).expect("it is there");
        let mut files: Vec<String> = entries
            .map(|entry| entry.expect("it can be read").path().display().to_string())
            .collect();
        files.sort();
        assert_eq!(files.len(), 2, "{files:?}");
        let play = ["watch", "--format", "json", "--from", &files[0], &files[1]];
        let text = String::from_utf8(doctor(&play).stdout).expect("JSON is UTF-8");
        assert_eq!(text.lines().count(), 2);
    });
}

#[test]
fn json_has_one_look_a_line_with_what_changed() {
    let (silent, sick) = (
        recording("edge-triggered-stall/silent"),
        recording("edge-triggered-stall/sick"),
    );
    let run = doctor(&[
        "watch", "--format", "json", "--from", &silent, &sick, &silent,
    ]);
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
    let text = String::from_utf8(run.stdout).expect("JSON is UTF-8");
    let looks: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is one object"))
        .collect();
    assert_eq!(looks.len(), 3);
    let kinds = |look: &Value| -> Vec<String> {
        let events = look["events"].as_array().expect("a list");
        events
            .iter()
            .filter(|event| event["id"] == "edge-triggered-stall")
            .map(|event| event["kind"].as_str().expect("a word").to_owned())
            .collect()
    };
    assert_eq!(looks[0]["schema"], "closewait-doctor.watch/v1");
    assert_eq!(looks[1]["report"]["schema"], "closewait-doctor.report/v1");
    assert_eq!(kinds(&looks[0]), [""; 0]);
    assert_eq!(kinds(&looks[1]), ["appeared"]);
    assert_eq!(kinds(&looks[2]), ["gone"]);
}

#[test]
fn what_is_no_terminal_gets_lines_and_a_screen_is_refused() {
    in_private_network(|| {
        let _incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        let run = doctor(&[
            "watch",
            "--for",
            "1s",
            "--interval",
            "300ms",
            "--min-age",
            "300ms",
        ]);
        let text = String::from_utf8_lossy(&run.stdout);
        assert!(
            text.contains("appeared CRITICAL edge-triggered-stall 127.0.0.1:8080 (23)"),
            "{text}"
        );
        let screen = doctor(&["watch", "--format", "screen"]);
        assert!(
            screen.complaint().contains("needs a terminal"),
            "{}",
            screen.stderr
        );
    });
}
