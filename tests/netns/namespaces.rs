//! Looks into several network namespaces at once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use closewait_doctor::collect::kernel::{Kernel, LiveKernel};
use closewait_doctor::look::{self, LookError, LookOptions};
use closewait_doctor::model::Scope;
use serde_json::Value;

use crate::support::{
    DEFAULT_GRACE, PORT, Program, Report, SHORT_GRACE, connect_many, doctor, example, have,
    have_root, in_private_network, items, outlast, run, start_server, wait_for_queue,
};

/// A look at port 8080 everywhere. Other tests have namespaces of their own, which it sees as well.
fn everywhere(more: &[&str]) -> Report {
    let arguments = ["scan", "--all-netns", "--port", "8080", "--format", "json"];
    doctor(&[&arguments, more].concat()).report()
}

/// Programs in a namespace of their own, which only their processes keep alive.
struct Elsewhere {
    first: Program,
}

impl Elsewhere {
    /// Runs shell commands there; they have to say when they are `ready`.
    fn run(commands: &str) -> Self {
        Self::run_in(&["--net"], commands)
    }

    fn run_in(namespaces: &[&str], commands: &str) -> Self {
        let script = format!("ip link set lo up; {commands}");
        let first = Program::start(
            Command::new("unshare")
                .args(namespaces)
                .args(["--", "sh", "-c", &script])
                .stdout(Stdio::piped()),
        );
        first.wait_for_line("ready");
        Self { first }
    }

    /// The name that reports use, in want of a better one.
    fn name(&self) -> String {
        let link = std::fs::read_link(format!("/proc/{}/ns/net", self.first.pid()));
        link.expect("it runs").display().to_string()
    }
}

fn in_namespace<'r>(report: &'r Report, name: &str) -> Vec<&'r Value> {
    items(&report.json()["findings"])
        .filter(|finding| finding["subject"]["netns"] == name && finding["severity"] != "info")
        .collect()
}

#[test]
fn an_incident_in_another_namespace_gets_the_same_verdict_and_the_namespace_is_named() {
    in_private_network(|| {
        let incident = example("incident");
        let incident = incident.display();
        let elsewhere = Elsewhere::run(&format!(
            "{incident} server & sleep 1; {incident} client --hold 30 & sleep 1; echo ready; wait"
        ));
        outlast(DEFAULT_GRACE);
        let report = everywhere(&[]);
        let findings = in_namespace(&report, &elsewhere.name());
        let [finding] = findings[..] else {
            panic!("one finding expected: {findings:#?}");
        };
        assert_eq!(finding["id"], "edge-triggered-stall");
        assert_eq!(finding["confidence"], "certain");
        let namespaces = items(&report.json()["namespaces"]);
        let mut names = namespaces.map(|namespace| &namespace["name"]);
        assert!(names.any(|name| *name == elsewhere.name()));
        assert_eq!(report.json()["scope"]["netns"], "all");
    });
}

#[test]
fn what_is_shown_of_a_namespace_bears_its_name() {
    in_private_network(|| {
        let server = example("server");
        let elsewhere = Elsewhere::run(&format!("exec {} healthy", server.display()));
        let report = everywhere(&[]);
        let name = elsewhere.name();
        let mut listeners = report.listeners().into_iter();
        assert!(listeners.any(|listener| listener["netns"] == *name));
        assert!(in_namespace(&report, &name).is_empty());
    });
}

/// A file in `/run/netns`, gone when dropped.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        // It was made by the test; if it is gone, all is well.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_namespace_that_cannot_be_entered_hides_no_other() {
    in_private_network(|| {
        if !have_root() || !have("ip") {
            return;
        }
        std::fs::create_dir_all("/run/netns").expect("root may make it");
        let name = format!("closewait-doctor-stale-{}", std::process::id());
        let stale = Mount(PathBuf::from("/run/netns").join(&name));
        File::create(&stale.0).expect("root may make it");
        let elsewhere = Elsewhere::run("echo ready; exec sleep 60");
        let report = everywhere(&["--min-age", "300ms"]);
        let spots = items(&report.json()["blind_spots"]);
        let mut named =
            spots.filter(|spot| spot["what"].as_str().is_some_and(|w| w.contains(&name)));
        assert!(named.next().is_some(), "{:#}", report.json()["blind_spots"]);
        let namespaces = items(&report.json()["namespaces"]);
        let all: Vec<&Value> = namespaces.map(|namespace| &namespace["name"]).collect();
        assert!(all.iter().any(|name| **name == "current"));
        assert!(all.iter().any(|name| **name == elsewhere.name()));
    });
}

#[test]
fn a_recording_of_all_namespaces_says_the_same() {
    in_private_network(|| {
        let server = example("server");
        let server = server.display();
        let elsewhere = Elsewhere::run(&format!(
            "{server} never-accepts >/dev/null & sleep 1; \
             python3 -c 'import socket,time; \
             s=[socket.create_connection((\"127.0.0.1\",8080)) for i in range(3)]; \
             print(\"ready\",flush=True); time.sleep(60)'"
        ));
        outlast(SHORT_GRACE);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("all");
        let path = file.display().to_string();
        let recorded = doctor(&[
            "record",
            "--all-netns",
            "--port",
            "8080",
            "--min-age",
            "300ms",
            "-o",
            &path,
        ]);
        assert!(recorded.status.success(), "{}", recorded.stderr);
        let name = elsewhere.name();
        drop(elsewhere);
        let report = doctor(&["scan", "--from", &path, "--format", "json"]).report();
        let findings = in_namespace(&report, &name);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(findings[0]["connections"], 3);
    });
}

#[test]
fn a_namespace_that_only_a_descriptor_holds_is_found() {
    in_private_network(|| {
        let elsewhere = Elsewhere::run("echo ready; exec sleep 60");
        let name = elsewhere.name();
        let held = File::open(format!("/proc/{}/ns/net", elsewhere.first.pid()));
        let held = held.expect("it runs, and is ours");
        drop(elsewhere);
        let report = everywhere(&[]);
        let mut namespaces = items(&report.json()["namespaces"]);
        assert!(namespaces.any(|namespace| namespace["name"] == *name));
        drop(held);
    });
}

#[test]
fn a_process_is_shown_with_its_id_on_the_host_and_inside() {
    in_private_network(|| {
        if !have_root() {
            return;
        }
        let server = example("server");
        let _elsewhere = Elsewhere::run_in(
            &["--net", "--pid", "--fork", "--mount-proc"],
            &format!("exec {} healthy", server.display()),
        );
        let report = everywhere(&[]);
        let mut processes = items(&report.json()["processes"]);
        let inside = processes.find(|process| process["pid_inside"] == 1);
        let inside = inside.unwrap_or_else(|| panic!("{:#}", report.json()["processes"]));
        assert_ne!(inside["pid"], 1);
    });
}

/// A server in the namespace of the test that never accepts, and clients that have waited long enough.
fn sick_server_here() -> (Program, Vec<std::net::TcpStream>) {
    let server = start_server(&["never-accepts"]);
    let clients = connect_many(3);
    wait_for_queue(3);
    outlast(SHORT_GRACE);
    (server, clients)
}

#[test]
fn a_sick_server_in_the_own_namespace_is_found_beside_an_idle_one() {
    in_private_network(|| {
        let _sick = sick_server_here();
        let _idle = Elsewhere::run("echo ready; exec sleep 60");
        let report = everywhere(&["--min-age", "300ms"]);
        assert_eq!(
            in_namespace(&report, "current").len(),
            1,
            "{:#}",
            report.json()
        );
        let check = [
            "check",
            "--all-netns",
            "--port",
            "8080",
            "--min-age",
            "300ms",
        ];
        let check = doctor(&check);
        assert_eq!(
            check.status.code(),
            Some(2),
            "{}",
            String::from_utf8_lossy(&check.stdout)
        );
    });
}

fn take_everywhere(kernel: &mut LiveKernel) -> look::Look {
    let options = LookOptions {
        scope: Scope {
            all_netns: true,
            ports: vec![PORT.into()],
            ..Scope::default()
        },
        grace: SHORT_GRACE,
        ..LookOptions::default()
    };
    look::take(kernel, &options).expect("namespaces can be entered here")
}

fn own_namespace() -> PathBuf {
    std::fs::read_link("/proc/thread-self/ns/net").expect("every thread has one")
}

#[test]
fn a_program_on_the_library_follows_a_sick_namespace_and_an_idle_one() {
    in_private_network(|| {
        let _sick = sick_server_here();
        outlast(DEFAULT_GRACE);
        let idle = Elsewhere::run("echo ready; exec sleep 60");
        let followed = run(Command::new(example("follow")).arg("2"));
        assert!(followed.status.success(), "{}", followed.stderr);
        let text = String::from_utf8_lossy(&followed.stdout);
        let looks = text.lines().filter(|line| line.starts_with("Critical in "));
        assert_eq!(looks.count(), 2, "{text}");
        let here = text.lines().filter(|line| line.starts_with("  current "));
        assert_eq!(here.count(), 2, "{text}");
        assert!(!text.contains(&idle.name()), "{text}");
    });
}

#[test]
fn two_looks_in_a_row_see_the_same_and_leave_the_thread_where_it_was() {
    in_private_network(|| {
        let _sick = sick_server_here();
        let _idle = Elsewhere::run("echo ready; exec sleep 60");
        let home = own_namespace();
        let mut kernel = LiveKernel::new(Path::new("/proc"));
        for _ in 0..2 {
            let report = take_everywhere(&mut kernel).report("2026-01-01T00:00:00.000Z");
            assert_eq!(own_namespace(), home);
            let here = report.findings.iter();
            let here = here.filter(|finding| finding.subject.netns == "current");
            assert_eq!(here.count(), 1);
        }
    });
}

#[test]
fn a_look_that_fails_elsewhere_leaves_the_thread_where_it_was() {
    in_private_network(|| {
        let idle = Elsewhere::run("echo ready; exec sleep 60");
        let home = own_namespace();
        let options = LookOptions {
            scope: Scope {
                netns: Some(idle.first.pid().to_string()),
                pids: vec![u32::MAX],
                ..Scope::default()
            },
            ..LookOptions::default()
        };
        let mut kernel = LiveKernel::new(Path::new("/proc"));
        let refused = look::take(&mut kernel, &options).err();
        assert_eq!(refused, Some(LookError::NoProcess(u32::MAX)));
        assert_eq!(own_namespace(), home);
    });
}

#[test]
fn a_namespace_whose_last_process_ends_after_it_was_found_is_still_looked_into() {
    in_private_network(|| {
        let elsewhere = Elsewhere::run("echo ready; exec sleep 60");
        let name = elsewhere.name();
        let mut kernel = LiveKernel::new(Path::new("/proc"));
        kernel.begin_look(std::time::Duration::MAX);
        let found = kernel.namespaces().expect("processes are listed");
        drop(elsewhere);
        let its = found
            .iter()
            .find(|namespace| name == format!("net:[{}]", namespace.inode));
        let its = its.expect("a process was in it");
        kernel.enter(its).expect("it is held open");
        assert_eq!(own_namespace().display().to_string(), name);
        kernel.end_look().expect("home is held open");
        assert_ne!(own_namespace().display().to_string(), name);
    });
}

#[test]
fn namespaces_that_come_and_go_are_no_blind_spot() {
    in_private_network(|| {
        let _server = start_server(&["healthy"]);
        let _coming_and_going = Program::start(
            Command::new("sh")
                .args(["-c", "while :; do unshare --net -- sleep 0.01; done"])
                .stdout(Stdio::null()),
        );
        for _ in 0..10 {
            let report = everywhere(&[]);
            // Namespaces of other tests are seen as well, and their servers may be sick.
            let unread = items(&report["blind_spots"]).find(|spot| {
                let what = spot["what"].as_str().unwrap_or_default();
                what.starts_with("the network namespace")
            });
            assert_eq!(unread, None);
        }
    });
}
