//! Repeated rounds: nothing is leaked, and no client is lost.

use std::process::Stdio;

use super::{Aid, descriptors, listener_lines, stick};
use crate::support::{
    close, connect_many, doctor_command, in_private_network, queue, start_server, stop, talk,
    wait_for_queue, wait_until,
};

/// As often as a test may take, or a thousand times where that is asked for.
fn rounds() -> usize {
    let asked = std::env::var_os("CLOSEWAIT_DOCTOR_SOAK").is_some_and(|value| value == "1");
    if asked { 1000 } else { 10 }
}

#[test]
fn round_after_round_nothing_is_leaked_and_no_client_is_lost() {
    in_private_network(|| {
        let server = start_server(&["stall", "--stops", "after-one"]);
        let (before, lines) = (descriptors(server.pid()), listener_lines(server.pid()));
        let aid = Aid::new();
        for round in 0..rounds() {
            stop(server.pid());
            let mut live = connect_many(3);
            let gone = connect_many(3);
            for client in gone {
                close(client);
            }
            super::resume(server.pid());
            wait_for_queue(5);
            let json = aid.comes_to("relieved", &["--yes", "--min-age", "1ms"]);
            assert_eq!(queue().length, 0, "round {round}: {json:#}");
            for client in &mut live {
                talk(client);
            }
            drop(live);
            wait_until("all clients have left", || {
                descriptors(server.pid()) == before
            });
            assert_eq!(listener_lines(server.pid()), lines, "round {round}");
        }
        assert!(aid.is_empty());
    });
}

#[test]
fn hundreds_of_wake_ups_leak_no_descriptor_of_ours() {
    in_private_network(|| {
        let server = start_server(&["stall"]);
        let clients = stick(&server, 300);
        let aid = Aid::new();
        let arguments = aid.arguments(&["--port", "8080", "--yes"]);
        let mut relieve = doctor_command(&arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("the doctor is built");
        let open = |pid: u32| {
            let folder = std::fs::read_dir(format!("/proc/{pid}/fd"));
            folder.map_or(0, Iterator::count)
        };
        // A process that has just been started still has ours, until the kernel closes them.
        wait_until("it has its own descriptors", || open(relieve.id()) < 20);
        let mut most = 0;
        wait_until("it has worked the queue off", || {
            most = most.max(open(relieve.id()));
            relieve.try_wait().expect("it is our child").is_some()
        });
        assert!((4..20).contains(&most), "{most} descriptors");
        assert_eq!(queue().length, 0);
        drop(clients);
    });
}
