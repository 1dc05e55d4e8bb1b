//! Looks into several network namespaces at once.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{
    DEFAULT_GRACE, Program, Report, SHORT_GRACE, doctor, example, have, have_root,
    in_private_network, items, outlast,
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
