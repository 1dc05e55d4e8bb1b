//! Servers that do not run at all, for other reasons than a signal: a debugger, a freezer, a sleep that nothing interrupts.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{
    Crowd, Program, SHORT_GRACE, assert_blames, connect, have, have_folder, have_root,
    in_private_network, outlast, says, scan, send, start_server, wait_for_queue, wait_until,
};

/// Many clients come to a server that is halted, and the program says why none is accepted.
fn assert_found(server: &Program, id: &str, why: &str) {
    let _crowd = Crowd::connect();
    wait_for_queue(Crowd::SIZE);
    outlast(SHORT_GRACE);
    let report = scan(&[]).report();
    let finding = report.only(id);
    assert_blames(finding, &[server.pid()]);
    assert!(says(finding, why), "{why} is not in {finding:#}");
}

#[test]
fn a_server_that_a_debugger_holds_is_stopped() {
    in_private_network(|| {
        if !have("gdb") {
            return;
        }
        let server = start_server(&["healthy"]);
        let pid = server.pid().to_string();
        let hold = ["-nx", "-batch", "-ex", "shell sleep 600", "-p"];
        let _debugger = Program::start(Command::new("gdb").args(hold).arg(pid));
        wait_for_state(&server, 't');
        assert_found(&server, "acceptor-stopped", "debugger");
    });
}

#[test]
fn a_server_in_a_frozen_cgroup_of_version_1_is_stopped() {
    in_private_network(|| {
        assert_frozen_is_found(
            "/sys/fs/cgroup/freezer",
            "freezer.state",
            ["FROZEN", "THAWED"],
        );
    });
}

#[test]
fn a_server_in_a_frozen_cgroup_of_version_2_is_stopped() {
    in_private_network(|| {
        let mounted_alone = Path::new("/sys/fs/cgroup/cgroup.procs").is_file();
        let hierarchy = if mounted_alone {
            "/sys/fs/cgroup"
        } else {
            "/sys/fs/cgroup/unified"
        };
        assert_frozen_is_found(hierarchy, "cgroup.freeze", ["1", "0"]);
    });
}

fn assert_frozen_is_found(hierarchy: &'static str, switch: &str, states: [&'static str; 2]) {
    if !have_root() || !have_folder(hierarchy) {
        return;
    }
    let server = start_server(&["healthy"]);
    let _freezer = Freezer::start(&server, hierarchy, switch, states);
    assert_found(&server, "acceptor-stopped", "frozen");
}

/// A cgroup that is frozen until this is dropped; before that, the process in it cannot even be killed in version 1.
pub(crate) struct Freezer {
    hierarchy: &'static str,
    folder: PathBuf,
    switch: PathBuf,
    thawed: &'static str,
    pid: String,
}

impl Freezer {
    pub(crate) fn start(
        server: &Program,
        hierarchy: &'static str,
        switch: &str,
        [frozen, thawed]: [&'static str; 2],
    ) -> Self {
        let pid = server.pid().to_string();
        let folder = Path::new(hierarchy).join(format!("closewait-doctor-test-{pid}"));
        std::fs::create_dir(&folder).expect("root makes cgroups");
        let freezer = Self {
            hierarchy,
            switch: folder.join(switch),
            folder,
            thawed,
            pid,
        };
        write(&freezer.folder.join("cgroup.procs"), &freezer.pid);
        write(&freezer.switch, frozen);
        freezer
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        write(&self.switch, self.thawed);
        write(&Path::new(self.hierarchy).join("cgroup.procs"), &self.pid);
        wait_until("the cgroup is empty", || {
            std::fs::remove_dir(&self.folder).is_ok()
        });
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn a_server_in_uninterruptible_sleep_is_busy() {
    // A parent waits so for a child that it has lent its place, as it would for a disk that does not answer.
    const SERVER: &str = "
import ctypes, os, select, signal, socket, time
CLONE, CLONE_VFORK = {'x86_64': 56, 'aarch64': 220}[os.uname().machine], 0x4000
listener = socket.create_server(('127.0.0.1', 8080))
events = select.epoll()
events.register(listener, select.EPOLLIN)
print('ready', flush=True)
events.poll()
client, _ = listener.accept()
client.recv(100)
if ctypes.CDLL(None).syscall(CLONE, CLONE_VFORK | signal.SIGCHLD, 0, 0, 0, 0) == 0:
    listener.close()
    events.close()
    time.sleep(600)";
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        let server = Program::start(Command::new("python3").args(["-c", SERVER]));
        server.wait_for_line("ready");
        let mut first = connect();
        send(&mut first, b"a line\n");
        wait_for_state(&server, 'D');
        assert_found(&server, "acceptor-busy", "uninterruptible sleep");
    });
}

fn wait_for_state(server: &Program, state: char) {
    let path = format!("/proc/{}/stat", server.pid());
    wait_until(&format!("the server is in state {state}"), || {
        let stat = std::fs::read_to_string(&path).expect("the server lives");
        stat.rsplit_once(") ")
            .is_some_and(|(_, fields)| fields.starts_with(state))
    });
}
