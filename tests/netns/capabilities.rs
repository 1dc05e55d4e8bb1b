//! What each capability lets the doctor see of another user's server: less to see may make a verdict vaguer, never kinder.

use std::path::Path;
use std::process::Command;

use crate::incident::{CLOSED, Incident, QUEUED, RESET, STAYED};
use crate::privileges::doctor_for_everybody;
use crate::support::{
    Report, SCAN, SHORT_GRACE, assert_blames, close, connect, connect_many, have, have_root,
    in_private_network, items, outlast, queue, run, start_server, wait_for_close_waits,
    wait_for_queue,
};

/// Each of these alone opens no descriptor table of another user: the folder takes `CAP_DAC_READ_SEARCH`, and what is in
/// it `CAP_SYS_PTRACE`.
const TOO_LITTLE: [&[&str]; 4] = [&[], &["net_admin"], &["sys_ptrace"], &["dac_read_search"]];

/// And this is enough.
const BOTH: &[&str] = &["sys_ptrace", "dac_read_search"];
const ALL: &[&str] = &["net_admin", "sys_ptrace", "dac_read_search"];

#[test]
fn the_incident_is_found_with_whatever_capabilities_there_are() {
    in_private_network(|| {
        if !have("setpriv") || !have_root() {
            return;
        }
        let incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        look_with_all(
            |report| {
                report.assert_queue(queue(), CLOSED, STAYED, RESET);
                report.only("accept-queue-stranded");
            },
            |report| {
                report.assert_queue(queue(), CLOSED, STAYED, RESET);
                let finding = report.only("edge-triggered-stall");
                assert_eq!(finding["confidence"], "certain", "{finding:#}");
                assert_blames(finding, &[incident.server_pid()]);
            },
        );
    });
}

#[test]
fn a_leak_is_found_with_whatever_capabilities_there_are() {
    in_private_network(|| {
        if !have("setpriv") || !have_root() {
            return;
        }
        let server = start_server(&["unread-eof", "--because", "unwatched"]);
        for client in connect_many(3) {
            close(client);
        }
        let _stays = connect();
        wait_for_close_waits(3, |unread| unread == 1);
        outlast(SHORT_GRACE);
        look_with_all(
            |report| {
                let finding = report.only("unattributed-close-wait");
                assert_eq!(finding["connections"], 3, "{finding:#}");
                assert_eq!(finding["confidence"], "possible", "{finding:#}");
            },
            |report| {
                let finding = report.only("unread-eof");
                assert_eq!(finding["connections"], 3, "{finding:#}");
                assert_blames(finding, &[server.pid()]);
            },
        );
    });
}

/// How procfs treats processes of others: it lists them, or (`hidepid=invisible`) it does not.
const HIDEPID: [&str; 2] = ["0", "2"];

/// A look as the user `nobody`, with these capabilities and such a procfs.
fn scan_with(doctor: &Path, hidepid: &str, capabilities: &[&str]) -> Report {
    const WITH_PROCFS: &str = "mount -t proc -o hidepid=$0 proc /proc && exec \"$@\"";
    let mut set = "-all".to_owned();
    for capability in capabilities {
        set.push_str(",+");
        set.push_str(capability);
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", WITH_PROCFS, hidepid, "setpriv"])
        .args(nobody)
        .arg(format!("--inh-caps={set}"))
        .arg(format!("--ambient-caps={set}"))
        .arg("--")
        .arg(doctor)
        .args(SCAN);
    run(&mut command).report()
}

/// Looks with each way to see too little, and then with each that is enough.
fn look_with_all(too_little: impl Fn(&Report), enough: impl Fn(&Report)) {
    let (_folder, doctor) = doctor_for_everybody();
    for hidepid in HIDEPID {
        for capabilities in TOO_LITTLE {
            let report = scan_with(&doctor, hidepid, capabilities);
            too_little(&report);
            assert_says_what_is_missing(&report, capabilities);
        }
        for capabilities in [BOTH, ALL] {
            enough(&scan_with(&doctor, hidepid, capabilities));
        }
    }
}

fn assert_says_what_is_missing(report: &Report, capabilities: &[&str]) {
    assert_ne!(report["summary"]["verdict"], "healthy", "{capabilities:?}");
    let told = items(&report["blind_spots"]).any(|spot| {
        spot["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("CAP_SYS_PTRACE"))
    });
    assert!(told, "{capabilities:?}: {:#}", report["blind_spots"]);
}
