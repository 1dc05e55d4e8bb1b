//! A host full of healthy servers under load, looked at again and again: nothing may be found on it.

use std::process::Command;
use std::time::Duration;

use crate::support::{
    Load, Nginx, Program, Report, doctor, have, in_private_network, items, outlast, start_server,
    wait_until,
};

/// A minute where it is asked for by `CLOSEWAIT_DOCTOR_SOAK=1`, as many as a larger number says, and otherwise as
/// long as a test may take.
fn length() -> Duration {
    let asked = std::env::var("CLOSEWAIT_DOCTOR_SOAK").ok();
    let minutes: u64 = asked.and_then(|value| value.parse().ok()).unwrap_or(0);
    Duration::from_secs(if minutes == 0 { 6 } else { minutes * 60 })
}

#[test]
fn a_host_of_busy_servers_stays_healthy() {
    in_private_network(|| {
        if !["nginx", "redis-server", "redis-cli", "wrk"]
            .into_iter()
            .all(have)
        {
            return;
        }
        let _nginx = Nginx::start();
        let _edge = start_server(&["healthy", "--trigger", "edge", "--port", "8081"]);
        let _prefork = start_server(&["prefork", "--workers", "3", "--port", "8082"]);
        let _redis = redis();
        let visitors = [Load::on(8081, 2), Load::on(8082, 2)];
        let _commands = Program::start(Command::new("redis-cli").args(PING_FOREVER));
        let mut requests = wrk(&[]);
        let mut connections = wrk(&["-H", "Connection: close"]);

        let mut looks = 0;
        while !requests.has_ended() {
            let report = doctor(&["scan", "--format", "json"]).report();
            report.assert_healthy();
            assert_eq!(report["summary"]["listeners"], 4, "{:#}", report.json());
            assert_nothing_failed(&report);
            assert_no_chain_was_read(&report);
            assert_well_among_all();
            looks += 1;
            outlast(BETWEEN_LOOKS);
        }
        // How often depends on what else the machine has to do.
        assert!(looks > 0, "the load was over before the first look");
        wait_until("the other wrk has ended", || connections.has_ended());
        for visitors in &visitors {
            assert!(visitors.visits() > 100, "this was no load");
        }
    });
}

/// Other tests have sick servers in namespaces of their own, which a look everywhere sees as well.
fn assert_well_among_all() {
    let report = doctor(&["scan", "--all-netns", "--format", "json"]).report();
    let own = report
        .above_info()
        .into_iter()
        .find(|finding| finding["subject"]["netns"] == "current");
    assert_eq!(own, None);
}

/// A monitor's look each second, nearly.
const BETWEEN_LOOKS: Duration = Duration::from_millis(900);

/// Commands through `redis-cli`, which ends with the test.
const PING_FOREVER: [&str; 7] = ["-p", "6379", "-r", "-1", "-i", "0.001", "ping"];

fn redis() -> Program {
    let options = ["--bind", "127.0.0.1", "--port", "6379", "--save", ""];
    let redis = Program::start(Command::new("redis-server").args(options));
    redis.wait_for_line("Ready to accept connections");
    redis
}

fn wrk(options: &[&str]) -> Program {
    let duration = format!("-d{}s", length().as_secs());
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c20", &duration, "http://127.0.0.1:8080/"]);
    Program::start(wrk.args(options))
}

/// What threads wait for is read of suspicious processes only.
fn assert_no_chain_was_read(report: &Report) {
    let threads = items(&report["processes"]).flat_map(|process| items(&process["threads"]));
    let followed: Vec<_> = threads
        .filter(|thread| !thread["waits_for"].is_null())
        .collect();
    assert!(followed.is_empty(), "{followed:#?}");
}

fn assert_nothing_failed(report: &Report) {
    let spots: Vec<_> = items(&report["blind_spots"])
        .filter(|spot| spot["hides_findings"] == true)
        .collect();
    assert!(spots.is_empty(), "{spots:#?}");
}
