//! What is left without privileges: the queues, and an honest word on the rest.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::incident::{CLOSED, Incident, QUEUED, RESET, STAYED};
use crate::support::{
    SCAN, SHORT_GRACE, have, have_root, in_private_network, items, outlast, queue, run,
    wait_for_queue,
};

#[test]
fn another_user_sees_the_queue_and_is_told_what_is_out_of_sight() {
    in_private_network(|| {
        if !have("setpriv") || !have_root() {
            return;
        }
        let _incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        let (_folder, doctor) = doctor_for_everybody();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
        let report = run(Command::new("setpriv").args(nobody).arg(doctor).args(SCAN)).report();

        report.assert_queue(queue(), CLOSED, STAYED, RESET);
        report.only("accept-queue-stranded");
        assert_ne!(report["summary"]["verdict"], "healthy");
        assert_eq!(items(&report.listeners()[0]["owners"]).count(), 0);
        assert!(items(&report["blind_spots"]).count() > 0);
        for blind_spot in items(&report["blind_spots"]) {
            for part in ["what", "why", "remedy"] {
                assert!(
                    blind_spot[part]
                        .as_str()
                        .is_some_and(|text| !text.is_empty()),
                    "{blind_spot:#}"
                );
            }
        }
    });
}

/// A copy of the doctor that other users can reach.
pub(crate) fn doctor_for_everybody() -> (TempDir, PathBuf) {
    let everybody = Permissions::from_mode(0o755);
    let folder = tempfile::Builder::new()
        .permissions(everybody)
        .tempdir()
        .expect("there is room for temporary files");
    let copy = folder.path().join("closewait-doctor");
    std::fs::copy(env!("CARGO_BIN_EXE_closewait-doctor"), &copy).expect("the folder is ours");
    (folder, copy)
}
