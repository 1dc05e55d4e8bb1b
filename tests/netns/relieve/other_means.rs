//! `drain`, `close-leaked` and `thaw`: where waking the server does not help.

use std::path::Path;

use super::{Aid, descriptors, headline, steps};
use crate::halted::Freezer;
use crate::support::{
    SHORT_GRACE, close, connect, connect_many, have_folder, have_root, in_private_network, outlast,
    queue, reset, start_server, stop, wait_for_close_waits, wait_for_queue,
};

/// Two who closed, one live, one who closed; the kernel's clocks tell them apart.
fn mixed_queue() -> std::net::TcpStream {
    let gone = connect_many(2);
    outlast(SHORT_GRACE);
    let live = connect();
    outlast(SHORT_GRACE);
    let last = connect();
    for client in gone {
        close(client);
    }
    close(last);
    wait_for_queue(4);
    outlast(SHORT_GRACE);
    live
}

#[test]
fn drain_stops_at_the_first_live_client() {
    in_private_network(|| {
        let server = start_server(&["paused", "--how", "removed"]);
        let _first = connect();
        wait_for_queue(0);
        let live = mixed_queue();
        let flags = listener_flags(server.pid());
        let aid = Aid::new();
        let json = aid.comes_to("improved", &["--yes"]);
        assert_eq!(json["plan"]["method"], "drain", "{json:#}");
        assert!(headline(&json).contains("may be a live client"), "{json:#}");
        assert_eq!(steps(&json, "accept and close").len(), 2, "{json:#}");
        assert_eq!(queue().length, 2);
        assert_eq!(listener_flags(server.pid()), flags);
        assert!(is_open(&live));
        // Again: there is nothing that can be done without closing live clients.
        aid.comes_to("unchanged", &["--yes"]);
        assert!(is_open(&live));

        let json = aid.comes_to("relieved", &["--yes", "--all"]);
        assert!(
            headline(&json).contains("1 of them had a live client"),
            "{json:#}"
        );
        assert_eq!(queue().length, 0);
        assert!(!is_open(&live));
    });
}

#[test]
fn drain_does_not_wait_in_a_blocking_listener() {
    in_private_network(|| {
        let server = start_server(&["one-by-one"]);
        let _first = connect();
        wait_for_queue(0);
        for client in connect_many(3) {
            close(client);
        }
        for client in connect_many(2) {
            reset(client);
        }
        wait_for_queue(5);
        outlast(SHORT_GRACE);
        let flags = listener_flags(server.pid());
        let json = Aid::new().comes_to("relieved", &["--method", "drain", "--yes"]);
        assert_eq!(steps(&json, "accept and close").len(), 5, "{json:#}");
        assert_eq!(queue().length, 0);
        assert_eq!(listener_flags(server.pid()), flags);
    });
}

fn listener_flags(pid: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/3")).expect("the server lives");
    let flags = text.lines().find(|line| line.starts_with("flags:"));
    flags.expect("every descriptor has flags").to_owned()
}

pub(super) fn is_open(client: &std::net::TcpStream) -> bool {
    client.set_nonblocking(true).expect("a socket");
    let error = client.peek(&mut [0; 1]);
    error.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn close_leaked_ends_the_connections_and_says_that_the_descriptors_stay() {
    in_private_network(|| {
        let server = start_server(&["unclosed-after-eof"]);
        let _live = connect();
        for client in connect_many(3) {
            close(client);
        }
        wait_for_close_waits(3, |unread| unread == 0);
        outlast(SHORT_GRACE);
        let before = descriptors(server.pid());
        let pid = server.pid().to_string();
        let aid = Aid::new();
        let plan = aid.run(&["--pid", &pid]).json();
        assert_eq!(plan["outcome"], "planned", "{plan:#}");
        assert_eq!(plan["plan"]["method"], "close-leaked", "{plan:#}");
        wait_for_close_waits(3, |_| true);

        let json = aid.run(&["--pid", &pid, "--yes"]).json();
        assert_eq!(json["outcome"], "relieved", "{json:#}");
        assert!(
            headline(&json).contains("their descriptors stay leaked"),
            "{json:#}"
        );
        assert_eq!(steps(&json, "shutdown").len(), 3, "{json:#}");
        wait_for_close_waits(0, |_| true);
        assert_eq!(descriptors(server.pid()), before);
        assert_eq!(json["before"]["close_wait"], 3);
        assert_eq!(json["after"]["close_wait"], 0);
    });
}

#[test]
fn a_stopped_server_continues() {
    in_private_network(|| {
        let server = start_server(&["healthy"]);
        stop(server.pid());
        let _waiting = connect_many(3);
        wait_for_queue(3);
        outlast(SHORT_GRACE);
        let json = Aid::new().comes_to("relieved", &["--yes"]);
        assert_eq!(json["plan"]["method"], "continue", "{json:#}");
        wait_for_queue(0);
    });
}

#[test]
fn a_frozen_cgroup_of_version_1_is_thawed() {
    in_private_network(|| {
        assert_thawed(
            "/sys/fs/cgroup/freezer",
            "freezer.state",
            ["FROZEN", "THAWED"],
        );
    });
}

#[test]
fn a_frozen_cgroup_of_version_2_is_thawed() {
    in_private_network(|| {
        let alone = Path::new("/sys/fs/cgroup/cgroup.procs").is_file();
        let hierarchy = if alone {
            "/sys/fs/cgroup"
        } else {
            "/sys/fs/cgroup/unified"
        };
        assert_thawed(hierarchy, "cgroup.freeze", ["1", "0"]);
    });
}

fn assert_thawed(hierarchy: &'static str, switch: &str, states: [&'static str; 2]) {
    if !have_root() || !have_folder(hierarchy) {
        return;
    }
    let server = start_server(&["healthy"]);
    let _freezer = Freezer::start(&server, hierarchy, switch, states);
    let _waiting = connect_many(3);
    wait_for_queue(3);
    outlast(SHORT_GRACE);
    let aid = Aid::new();
    let plan = aid.comes_to("planned", &[]);
    assert_eq!(plan["plan"]["method"], "thaw", "{plan:#}");
    assert_eq!(queue().length, 3);
    let json = aid.comes_to("failed", &["--method", "rearm", "--yes"]);
    assert!(
        headline(&json).contains("nothing can happen until it continues"),
        "{json:#}"
    );
    aid.comes_to("relieved", &["--yes"]);
    wait_for_queue(0);
}
