//! A private network namespace for each test, by running the test again, alone, in a process of its own.
//!
//! `unshare(2)` in a thread of the test program would do for the network, but not for a user namespace without root, and
//! needs unsafe code. A process covers both, and everything that a test starts is in its namespace.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Set in the namespace, to the name of the test.
const INSIDE: &str = "CLOSEWAIT_DOCTOR_TEST_INSIDE";
const MUST_RUN: &str = "CLOSEWAIT_DOCTOR_TESTS_MUST_RUN";
const SKIPPED: &str = "SKIPPED:";
const FIGURE: &str = "FIGURE:";

/// Runs the body of a test in a network namespace of its own, in which only the loopback interface is there and up.
pub(crate) fn in_private_network<Body: Fn()>(body: Body) {
    let test = name_of_test::<Body>();
    if env::var_os(INSIDE).is_some() {
        succeed(Command::new("ip").args(["link", "set", "lo", "up"]));
        body();
    } else if let Some(unshare) = way_into_a_namespace() {
        run_again(test, unshare);
    } else {
        skip(
            test,
            "unshare makes no network namespace here, neither as root nor for a user",
        );
    }
}

/// The path of the test function that a closure was written in, as the test runner has it.
fn name_of_test<Closure>() -> &'static str {
    let path = std::any::type_name::<Closure>();
    let path = path
        .strip_suffix("::{{closure}}")
        .expect("a closure in a test function");
    path.split_once("::").expect("a path below the crate").1
}

fn succeed(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// The options of `unshare` that work here: as root, or else as the root of a user namespace.
fn way_into_a_namespace() -> Option<&'static str> {
    static WAY: OnceLock<Option<&str>> = OnceLock::new();
    *WAY.get_or_init(|| {
        ["-n", "-Urn"].into_iter().find(|options| {
            let tried = Command::new("unshare")
                .args([options, "true"])
                .stderr(Stdio::null())
                .status();
            tried.is_ok_and(|status| status.success())
        })
    })
}

fn run_again(test: &str, unshare: &str) {
    let this_program = env::current_exe().expect("a running program has a path");
    let output = Command::new("unshare")
        .args([unshare, "--"])
        .arg(this_program)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, test)
        .stdin(Stdio::null())
        .output()
        .expect("unshare has just worked");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let is_told = |line: &&str| line.starts_with(SKIPPED) || line.starts_with(FIGURE);
    for line in stderr.lines().filter(is_told) {
        say_loudly(line);
    }
    assert!(
        output.status.success(),
        "in its network namespace:\n{stdout}\n{stderr}"
    );
    assert!(
        stdout.contains("1 passed"),
        "{test} did not run in its network namespace:\n{stdout}\n{stderr}"
    );
}

/// Returns whether a program is there; where it is not, the test has been skipped and has to return.
#[must_use]
pub(crate) fn have(program: &str) -> bool {
    let found = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        skip_this_test(&format!("{program} is not installed"));
    }
    found
}

/// Returns whether an interpreter has a library, by a command that succeeds with it; where it has not, the test has been
/// skipped and has to return.
#[must_use]
pub(crate) fn have_module(interpreter: &str, command: &[&str]) -> bool {
    let tried = Command::new(interpreter)
        .args(command)
        .stderr(Stdio::null())
        .status();
    let found = tried.is_ok_and(|status| status.success());
    if !found {
        skip_this_test(&format!("`{interpreter} {}` fails", command.join(" ")));
    }
    found
}

/// Returns whether the kernel speaks MPTCP; where it does not, the test has been skipped and has to return.
#[must_use]
pub(crate) fn have_mptcp() -> bool {
    let enabled = std::fs::read_to_string("/proc/sys/net/mptcp/enabled");
    let found = enabled.is_ok_and(|enabled| enabled.trim() == "1");
    if !found {
        skip_this_test("the kernel has no MPTCP, or it is switched off");
    }
    found
}

/// Returns whether a folder is there; where it is not, the test has been skipped and has to return.
#[must_use]
pub(crate) fn have_folder(path: &str) -> bool {
    let found = std::path::Path::new(path).is_dir();
    if !found {
        skip_this_test(&format!("{path} is not there"));
    }
    found
}

/// Returns whether we are root outside of a user namespace; where we are not, the test has been skipped and has to return.
#[must_use]
pub(crate) fn have_root() -> bool {
    let everybody = "4294967295";
    let users = std::fs::read_to_string("/proc/self/uid_map").expect("every process has one");
    let found =
        rustix::process::geteuid().is_root() && users.split_whitespace().last() == Some(everybody);
    if !found {
        skip_this_test("it changes the user, which takes root");
    }
    found
}

fn skip_this_test(reason: &str) {
    skip(
        &env::var(INSIDE).expect("asked from within a namespace"),
        reason,
    );
}

fn skip(test: &str, reason: &str) {
    let line = format!("{SKIPPED} {test}: {reason}");
    assert!(
        env::var_os(MUST_RUN).is_none(),
        "{line}, and {MUST_RUN} is set"
    );
    say_loudly(&line);
}

/// Tells a figure that a test found and does not judge.
pub(crate) fn tell_figure(figure: &str) {
    say_loudly(&format!("{FIGURE} {figure}"));
}

/// Writes past the test runner, which hides what a passing test prints.
fn say_loudly(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr is there");
}
