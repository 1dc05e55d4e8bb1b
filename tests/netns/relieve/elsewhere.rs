//! Missing rights, other namespaces, and descriptors that were inherited.

use std::process::Command;

use super::{Aid, headline, listener_lines, registrations, stick, with_faults};
use crate::privileges::doctor_for_everybody;
use crate::support::{
    Program, SHORT_GRACE, doctor, example, have, have_root, in_private_network, outlast, queue,
    run, start_server, stop,
};

#[test]
fn without_the_right_to_duplicate_descriptors_it_says_what_is_missing() {
    in_private_network(|| {
        if !have("strace") {
            return;
        }
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 3);
        let before = registrations(server.pid());
        let run = with_faults(&Aid::new(), &["inject=pidfd_getfd:error=EPERM"], &[]);
        assert_eq!(run.status.code(), Some(3));
        let json = run.any_json();
        assert!(headline(&json).contains("CAP_SYS_PTRACE"), "{json:#}");
        assert!(headline(&json).contains("ptrace_scope"), "{json:#}");
        assert_eq!(registrations(server.pid()), before);
        assert_eq!(queue().length, 2);
    });
}

#[test]
fn another_user_is_told_what_is_missing_and_changes_nothing() {
    in_private_network(|| {
        if !have("setpriv") || !have_root() {
            return;
        }
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 3);
        let before = registrations(server.pid());
        let (_folder, doctor) = doctor_for_everybody();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
        let arguments = ["relieve", "--port", "8080", "--min-age", "300ms", "--yes"];
        let run = run(Command::new("setpriv")
            .args(nobody)
            .arg(doctor)
            .args(arguments));
        let text = String::from_utf8_lossy(&run.stdout);
        assert_eq!(run.status.code(), Some(3), "{text}");
        assert!(text.contains("CAP_SYS_PTRACE"), "{text}");
        assert_eq!(registrations(server.pid()), before);
        assert_eq!(queue().length, 2);
    });
}

#[test]
fn from_another_pid_namespace_it_says_so() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 3);
        let before = registrations(server.pid());
        let doctor = env!("CARGO_BIN_EXE_closewait-doctor");
        for (mount, word) in [
            (&["--mount-proc"][..], "pid namespace of its owner"),
            (&[][..], "shows another pid namespace"),
        ] {
            let run = run(Command::new("unshare")
                .args(["--pid", "--fork"])
                .args(mount)
                .arg(doctor)
                .args(["relieve", "--port", "8080", "--min-age", "300ms", "--yes"]));
            let text = String::from_utf8_lossy(&run.stdout).into_owned() + &run.stderr;
            assert_eq!(run.status.code(), Some(3), "{text}");
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(registrations(server.pid()), before);
        assert_eq!(queue().length, 2);
    });
}

#[test]
fn in_another_network_namespace_it_is_relieved_where_that_is_named() {
    in_private_network(|| {
        let start = "ip link set lo up && exec \"$0\" \"$@\"";
        let server = Program::start(
            Command::new("unshare")
                .args(["-n", "sh", "-c", start])
                .arg(example("server"))
                .args(["stall", "--stops", "at-limit"]),
        );
        server.wait_for_line("ready");
        let pid = server.pid().to_string();
        let within = |script: &str| {
            let status = Command::new("nsenter")
                .args(["-t", &pid, "-n", "bash", "-c", script])
                .status();
            assert!(status.expect("nsenter is there").success(), "{script}");
        };
        // Two come at once and leave; the first of them takes the only slot until its end is read.
        stop(server.pid());
        within("for i in 1 2; do exec {fd}<>/dev/tcp/127.0.0.1/8080; done");
        super::resume(server.pid());
        outlast(SHORT_GRACE);
        let aid = Aid::new();
        let here = doctor(&["relieve", "--port", "8080", "--yes"]);
        assert!(
            here.complaint()
                .contains("in this network namespace (see --netns)"),
            "{}",
            here.stderr
        );
        let there = aid
            .run(&["--port", "8080", "--netns", &pid, "--yes"])
            .json();
        assert_eq!(there["netns"], pid, "{there:#}");
        assert_eq!(there["before"]["accept_queue"], 1, "{there:#}");
        assert_eq!(there["outcome"], "relieved", "{there:#}");
    });
}

#[test]
fn a_descriptor_that_was_inherited_is_not_in_the_way() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        let shell = "exec 3</dev/null 4</dev/null; exec \"$0\" \"$@\"";
        let run = run(Command::new("sh")
            .args(["-c", shell, env!("CARGO_BIN_EXE_closewait-doctor")])
            .args(aid.arguments(&["--port", "8080", "--yes"])));
        let json = run.json();
        assert_eq!(json["outcome"], "relieved", "{json:#}");
        assert_eq!(listener_lines(server.pid()), before);
    });
}

#[test]
fn without_a_place_for_the_journal_nothing_that_needs_one_is_changed() {
    in_private_network(|| {
        let server = start_server(&["stall", "--exclusive"]);
        let _clients = stick(&server, 4);
        let before = listener_lines(server.pid());
        let aid = Aid::new();
        for method in ["rearm", "level"] {
            let options = ["--min-age", "300ms", "--format", "json", "--yes"];
            let run = doctor(
                &[
                    &["relieve", "--port", "8080", "--method", method][..],
                    &["--state", "/proc/no-such-folder"],
                    &options,
                ]
                .concat(),
            );
            let json = run.any_json();
            assert_eq!(json["outcome"], "failed", "{json:#}");
            assert!(headline(&json).contains("--state"), "{json:#}");
            assert_eq!(listener_lines(server.pid()), before);
            assert_eq!(queue().length, 3);
        }
        aid.comes_to("relieved", &["--yes"]);
    });
}

#[test]
fn two_capabilities_are_enough_for_another_users_server() {
    in_private_network(|| {
        if !have("setpriv") || !have_root() {
            return;
        }
        let server = start_server(&["stall"]);
        let _clients = stick(&server, 4);
        let before = listener_lines(server.pid());
        let (_folder, doctor) = doctor_for_everybody();
        let state = tempfile::tempdir().expect("there is room");
        std::os::unix::fs::chown(state.path(), Some(65534), None).expect("we are root");
        let run = run(Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args([
                "--inh-caps=-all,+sys_ptrace,+dac_read_search",
                "--ambient-caps=-all,+sys_ptrace,+dac_read_search",
                "--",
            ])
            .arg(doctor)
            .args(["relieve", "--port", "8080", "--min-age", "300ms", "--yes"])
            .arg("--state")
            .arg(state.path()));
        let text = String::from_utf8_lossy(&run.stdout).into_owned() + &run.stderr;
        assert!(text.starts_with("RELIEVED"), "{text}");
        assert_eq!(queue().length, 0);
        assert_eq!(listener_lines(server.pid()), before);
    });
}
