//! `exporter` on the real kernel, asked over HTTP as Prometheus asks it, and by Prometheus itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::incident::{Incident, QUEUED};
use crate::support::{
    SHORT_GRACE, doctor, doctor_command, have, have_root, in_private_network, outlast,
    start_server, wait_for_queue, wait_until,
};

const EXPORTER_PORT: u16 = 9742;

/// A running exporter; it is killed with the test.
struct Exporter(Child);

impl Exporter {
    fn start(more: &[&str]) -> Self {
        let exporter = Self::begin(more);
        wait_until("the exporter answers with a look", || {
            scrape().contains("closewait_doctor_last_look_success 1\n")
        });
        exporter
    }

    fn begin(more: &[&str]) -> Self {
        let often = ["--interval", "200ms"];
        let interval = if more.contains(&"--interval") {
            &[][..]
        } else {
            &often
        };
        let child = doctor_command(&[&["exporter", "--min-age", "300ms"], interval, more].concat())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the doctor is built");
        Self(child)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    fn status_of(&self, field: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.expect("a field of the kernel").trim().to_owned()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn connect() -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, EXPORTER_PORT))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// The whole answer; empty where nobody listens.
fn get(path: &str) -> String {
    let Ok(mut stream) = connect() else {
        return String::new();
    };
    let mut answer = String::new();
    let asked = write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n");
    asked
        .and_then(|()| stream.read_to_string(&mut answer))
        .expect("the exporter answers");
    answer
}

fn scrape() -> String {
    get("/metrics")
}

/// The value of the one series whose name and labels begin like this.
fn value(page: &str, series: &str) -> f64 {
    let mut lines = page.lines().filter(|line| line.starts_with(series));
    let line = lines.next().unwrap_or_else(|| panic!("{series} in {page}"));
    assert_eq!(lines.next(), None, "{series}");
    let value = line.rsplit(' ').next().expect("a value");
    value.parse().expect("a number")
}

fn wait_for_value(series: &str, wanted: f64) {
    wait_until(series, || {
        let page = scrape();
        page.contains(series) && (value(&page, series) - wanted).abs() < 0.5
    });
}

const STALL: &str = "closewait_doctor_findings{id=\"edge-triggered-stall\",severity=\"critical\"}";

#[test]
fn the_incident_is_in_the_numbers_and_goes_with_its_cause() {
    in_private_network(|| {
        let _exporter = Exporter::start(&[]);
        assert!(value(&scrape(), STALL) < 0.5);
        let incident = Incident::play(&[]);
        wait_for_queue(QUEUED);
        outlast(SHORT_GRACE);
        wait_for_value(STALL, 1.0);
        let page = scrape();
        let length = "closewait_doctor_accept_queue_length{netns=\"current\",listener=\"127.0.0.1:8080\",command=\"incident\"";
        assert!((value(&page, length) - 23.0).abs() < 0.5);
        let reset = "closewait_doctor_accept_queue_connections{netns=\"current\",listener=\"127.0.0.1:8080\",command=\"incident\",unit=\"\",state=\"reset\"}";
        assert!((value(&page, reset) - 4.0).abs() < 0.5);
        drop(incident);
        wait_for_value(STALL, 0.0);
        // A look that falls between the ends of server and clients finds what clients find then.
        wait_until("no finding is left", || {
            !scrape().contains("closewait_doctor_finding_age_seconds{")
        });
    });
}

#[test]
fn slow_clients_do_not_keep_others_from_their_answer() {
    in_private_network(|| {
        let _exporter = Exporter::start(&[]);
        let slow: Vec<TcpStream> = (0..300)
            .map(|_| {
                let mut stream = connect().expect("it listens");
                stream.write_all(b"GET /met").expect("it is open");
                stream
            })
            .collect();
        let page = scrape();
        assert!(value(&page, "closewait_doctor_last_look_success") > 0.5);
        wait_until("some were ended to make room", || {
            value(
                &scrape(),
                "closewait_doctor_http_connections_dropped_total{reason=\"full\"}",
            ) > 200.0
        });
        wait_until("those that stayed were ended in time", || {
            value(
                &scrape(),
                "closewait_doctor_http_connections_dropped_total{reason=\"slow\"}",
            ) > 30.0
        });
        drop(slow);
    });
}

#[test]
fn many_scrapes_leave_descriptors_and_memory_as_they_were() {
    in_private_network(|| {
        let exporter = Exporter::start(&[]);
        let resident = || {
            let size = exporter.status_of("VmRSS:");
            let size = size.split_whitespace().next().expect("a number of kB");
            size.parse::<u64>().expect("a number")
        };
        let descriptors = || {
            let folder = std::fs::read_dir(format!("/proc/{}/fd", exporter.0.id()));
            folder.expect("it runs").count()
        };
        for _ in 0..500 {
            scrape();
        }
        let (before, open) = (resident(), descriptors());
        for _ in 0..3000 {
            scrape();
        }
        // A look may be under way, with descriptors of its own.
        assert!(descriptors() < open + 20);
        assert!(
            resident() < before + 4096,
            "{before} kB, then {}",
            resident()
        );
    });
}

#[test]
fn signals_make_it_look_and_end() {
    in_private_network(|| {
        let mut exporter = Exporter::start(&["--interval", "1h"]);
        let looks = "closewait_doctor_looks_total{outcome=\"success\"}";
        assert!((value(&scrape(), looks) - 1.0).abs() < 0.5);
        exporter.signal(Signal::HUP);
        wait_for_value(looks, 2.0);
        exporter.signal(Signal::TERM);
        let status = exporter.0.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0));
    });
}

#[test]
fn it_keeps_only_the_rights_that_reading_takes() {
    in_private_network(|| {
        if !have_root() {
            return;
        }
        let sys_ptrace_and_dac_read_search = "0000000000080004";
        let exporter = Exporter::start(&[]);
        assert_eq!(
            exporter.status_of("CapEff:"),
            sys_ptrace_and_dac_read_search
        );
        assert_eq!(
            exporter.status_of("CapPrm:"),
            sys_ptrace_and_dac_read_search
        );
        assert_eq!(exporter.status_of("NoNewPrivs:"), "1");
    });
}

#[test]
fn a_report_is_served_where_that_was_asked_for() {
    in_private_network(|| {
        let _exporter = Exporter::start(&["--serve-report"]);
        let report = get("/report");
        assert!(report.contains("closewait-doctor.report/v1"), "{report}");
        assert!(get("/healthz").starts_with("HTTP/1.1 200 "));
        assert!(get("/nothing").starts_with("HTTP/1.1 404 "));
    });
}

#[test]
fn a_text_file_is_written_whole_and_for_others_to_read() {
    in_private_network(|| {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let file = folder.path().join("closewait.prom");
        let _exporter = Exporter::begin(&["--textfile", file.to_str().expect("UTF-8")]);
        wait_until("the file is there", || {
            std::fs::read_to_string(&file)
                .is_ok_and(|text| text.contains("closewait_doctor_last_look_success 1\n"))
        });
        assert_eq!(scrape(), "", "nobody asked it to listen");
    });
}

#[test]
fn bad_arguments_are_said_clearly() {
    in_private_network(|| {
        let _exporter = Exporter::start(&[]);
        let busy = doctor(&["exporter"]);
        assert!(
            busy.complaint().contains("choose another with --listen"),
            "{}",
            busy.stderr
        );
        let name = doctor(&["exporter", "--textfile", "metrics.txt"]);
        assert!(name.complaint().contains(".prom"), "{}", name.stderr);
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let cut = folder.path().join("cut.rec");
        let whole = std::fs::read(recording()).expect("a recording of this crate");
        std::fs::write(&cut, &whole[..whole.len() / 2]).expect("there is room");
        let cut = cut.to_str().expect("UTF-8");
        let cut = doctor(&["exporter", "--from", cut, "--listen", "127.0.0.1:9743"]);
        assert!(cut.complaint().contains("cut.rec"), "{}", cut.stderr);
        let few = doctor(&["exporter", "--max-series", "10"]);
        assert_eq!(few.status.code(), Some(3));
    });
}

fn recording() -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    format!("{here}/tests/recordings/edge-triggered-stall/sick.rec")
}

#[test]
fn a_recording_is_replayed_at_each_look() {
    in_private_network(|| {
        let _exporter = Exporter::start(&["--from", &recording()]);
        assert!((value(&scrape(), STALL) - 1.0).abs() < 0.5);
        wait_until("more than one look", || {
            value(
                &scrape(),
                "closewait_doctor_looks_total{outcome=\"success\"}",
            ) > 2.0
        });
    });
}

/// A Prometheus with our rules, and alerts that need not wait.
fn prometheus(folder: &Path) -> crate::support::Program {
    let rules = format!(
        "{}/packaging/prometheus/alerts.yml",
        env!("CARGO_MANIFEST_DIR")
    );
    let rules = std::fs::read_to_string(rules).expect("it is a file of this crate");
    let at_once: Vec<String> = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with("for:"))
        .map(|line| line.replace("> 30", "> 1"))
        .collect();
    std::fs::write(folder.join("alerts.yml"), at_once.join("\n")).expect("there is room");
    let config = "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [alerts.yml]\n\
        scrape_configs: [{job_name: closewait-doctor, static_configs: [{targets: ['127.0.0.1:9742']}]}]\n";
    let path = folder.join("prometheus.yml");
    std::fs::write(&path, config).expect("there is room");
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ))
        .arg("--web.listen-address=127.0.0.1:9090")
        .stderr(Stdio::null());
    crate::support::Program::start(&mut command)
}

/// What the API of Prometheus says; empty while it does not.
fn ask_prometheus(path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, 9090)) else {
        return String::new();
    };
    let mut answer = String::new();
    let request = format!("GET /api/v1/{path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let asked = stream.write_all(request.as_bytes());
    let read = asked.and_then(|()| stream.read_to_string(&mut answer));
    read.map_or_else(|_| String::new(), |_| answer)
}

#[test]
fn prometheus_scrapes_alerts_and_resolves() {
    in_private_network(|| {
        if !have("prometheus") {
            return;
        }
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let _healthy = start_server(&["healthy", "--port", "8081"]);
        let _exporter = Exporter::start(&[]);
        let _prometheus = prometheus(folder.path());
        wait_until("a scrape is stored", || {
            ask_prometheus("query?query=closewait_doctor_last_look_success").contains("\"1\"]")
        });
        assert!(ask_prometheus("alerts").contains("\"alerts\":[]"));
        let incident = Incident::play(&[]);
        wait_until("the alert fires", || {
            let alerts = ask_prometheus("alerts");
            alerts.contains("AcceptQueueStuck") && alerts.contains("firing")
        });
        let queue = ask_prometheus(
            "query?query=closewait_doctor_accept_queue_length%7Blistener=%22127.0.0.1:8080%22%7D",
        );
        assert!(queue.contains("\"23\"]"), "{queue}");
        drop(incident);
        wait_until("the alert resolves", || {
            ask_prometheus("alerts").contains("\"alerts\":[]")
        });
    });
}
