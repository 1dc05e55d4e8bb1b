//! What the tests are written with: a network of their own, programs that end with the test, clients, the doctor.

mod clients;
mod doctor;
mod namespace;
mod nginx;
mod programs;
mod report;
mod ss;

use std::time::{Duration, Instant};

pub(crate) use clients::{
    Closed, Crowd, Load, MESSAGE, close, connect, connect_many, is_refused, reset, send, talk,
};
pub(crate) use doctor::{Run, SCAN, doctor, doctor_command, run, scan};
pub(crate) use namespace::{
    have, have_folder, have_module, have_mptcp, have_root, in_private_network, tell_figure,
};
pub(crate) use nginx::Nginx;
pub(crate) use programs::{Program, example, start_server, stop};
pub(crate) use report::{Report, advises, assert_age, assert_blames, items, says};
pub(crate) use ss::{Queue, queue, queues, unread_by_server, wait_for_close_waits, wait_for_queue};

/// The port that every server of these tests listens on: each test has a network of its own.
pub(crate) const PORT: u16 = 8080;

/// The longest that anything may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a condition, and fails when it does not come true.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The grace period that [`scan`] gives, so that the tests need not wait for the default one.
pub(crate) const SHORT_GRACE: Duration = Duration::from_millis(300);

/// The grace period of the doctor where nothing else is asked for.
pub(crate) const DEFAULT_GRACE: Duration = Duration::from_secs(3);

/// Lets what is there now grow older than a grace period. Time itself is the condition here, so this one may sleep.
pub(crate) fn outlast(grace: Duration) {
    std::thread::sleep(grace + Duration::from_millis(100));
}
