//! The formats of `check`, each as its readers read it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::check::{SHORT, assert_line, check, stdout, with_incident, with_young_close_waits};
use crate::incident::CLOSED;
use crate::support::{
    Crowd, Program, SHORT_GRACE, doctor, example, have, have_module, in_private_network, items,
    outlast, run, start_server, wait_for_queue,
};

#[test]
fn check_adds_its_thresholds_to_the_json_report() {
    in_private_network(|| {
        with_incident(|| {
            let thresholds = ["--warn", "close-wait=5,age=1ms", "--crit", "queue=80%"];
            let looked = check(&[&SHORT, &thresholds, &["--format", "json"]]);
            assert_eq!(looked.status.code(), Some(2), "{}", looked.stderr);
            let report: Value = serde_json::from_slice(&looked.stdout).expect("it is JSON");
            assert_eq!(report["schema"], "closewait-doctor.report/v1");
            assert_eq!(report["check"]["status"], "critical");
            let judged: Vec<&Value> = items(&report["check"]["thresholds"]).collect();
            let [close_wait, queue, age] = judged[..] else {
                panic!("{judged:#?}")
            };
            assert_eq!(close_wait["metric"], "close-wait");
            assert_eq!(close_wait["unit"], "connections");
            assert_eq!(close_wait["value"], CLOSED);
            assert_eq!(close_wait["warn"], 5);
            assert_eq!(close_wait["crit"], Value::Null);
            assert_eq!(close_wait["status"], "warning");
            assert_eq!(close_wait["reason"], "close-wait 10 is above 5");
            assert_eq!(queue["unit"], "percent");
            assert_eq!(queue["status"], "ok");
            assert_eq!(queue["reason"], Value::Null);
            assert_eq!(age["unit"], "ms");
            assert_eq!(age["status"], "warning");
        });
        let scan = doctor(&["scan", "--format", "json"]).report();
        assert!(scan.json().get("check").is_none());
    });
}

/// Looks at a stuck server with a name that means something to every reader.
fn with_hostile_server(look: impl Fn()) {
    const NAME: &[u8] = b"|a=1;'\"<&]]>%0A";
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let program = folder.path().join(OsStr::from_bytes(NAME));
    std::fs::copy(example("server"), &program).expect("the folder is ours");
    let server = Program::start(Command::new(program).arg("never-accepts"));
    server.wait_for_line("ready");
    let _crowd = Crowd::connect();
    wait_for_queue(Crowd::SIZE);
    outlast(SHORT_GRACE);
    look();
}

/// Looks at a stuck server with a name of control characters, and an odd limit.
fn with_control_characters(look: impl Fn()) {
    let _server = start_server(&["hostile-name"]);
    let _crowd = Crowd::connect();
    wait_for_queue(Crowd::SIZE);
    outlast(SHORT_GRACE);
    look();
}

fn assert_no_control_characters(text: &str) {
    let dangerous = |character: char| character.is_control() && character != '\n';
    assert!(!text.contains(dangerous), "{text:?}");
}

#[test]
fn check_writes_performance_data_that_monitoring_plugins_read() {
    in_private_network(|| {
        with_hostile_server(|| {
            let looked = check(&[
                &SHORT,
                &["--warn", "close-wait=1,queue=80%", "--crit", "age=50ms"],
            ]);
            let line = assert_line(&looked, 2, "CRITICAL");
            let (text, data) = line.split_once('|').expect("performance data");
            assert!(text.contains("\\u{7c}a=1;"), "{line}");
            assert!(!data.contains('|'), "{line}");
            for datum in data.split_whitespace() {
                assert_performance_datum(datum);
            }
            if !have_module("perl", &["-MMonitoring::Plugin::Performance", "-e", "1"]) {
                return;
            }
            let read = "my @p = Monitoring::Plugin::Performance->parse_perfstring($ARGV[0]); \
                        print join(' ', map { join('/', $_->label, $_->uom, $_->warning // '', \
                        $_->critical // '', $_->min) } @p)";
            let module = ["-MMonitoring::Plugin::Performance", "-e", read, data.trim()];
            let perl = run(Command::new("perl").args(module));
            assert_eq!(
                stdout(&perl),
                "close_wait//1//0 queue/%/80//0 queue_length////0 oldest_age/s//0.050/0 \
                 accepted_close_wait////0",
                "{}",
                perl.stderr
            );
        });
        with_control_characters(|| assert_no_control_characters(stdout(&check(&[&SHORT]))));
    });
}

/// `label=value[UOM];[warn];[crit];[min]`, as the monitoring-plugin guidelines have it.
fn assert_performance_datum(datum: &str) {
    let (label, rest) = datum.split_once('=').expect("a label");
    assert!(
        label.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
        "{datum}"
    );
    let fields: Vec<&str> = rest.split(';').collect();
    let value = fields[0].trim_end_matches(['s', '%']);
    let is_number = |text: &str| text.parse::<f64>().is_ok() && !text.contains(['e', 'i', 'N']);
    assert!(value == "U" || is_number(value), "{datum}");
    assert_eq!(fields.len(), 4, "{datum}");
    for field in &fields[1..] {
        assert!(field.is_empty() || is_number(field), "{datum}");
    }
}

/// A document as Python's XML parser sees it: each test case and what is in it.
const READ_XML: &str = "
import json, sys, xml.etree.ElementTree as tree
root = tree.parse(sys.stdin.buffer).getroot()
assert root.tag == 'testsuites', root.tag
suite, = root
assert suite.tag == 'testsuite', suite.tag
cases = suite.findall('testcase')
assert int(suite.get('tests')) == len(cases)
for kind in 'failure', 'error':
    assert int(suite.get(kind + 's')) == len(suite.findall('testcase/' + kind)), kind
json.dump({case.get('name'): [[bad.tag, bad.get('type'), bad.get('message')] for bad in case]
           for case in cases}, sys.stdout)
";

/// The same as the library sees it that CI tools use to read such documents.
const READ_JUNIT: &str = "
import json, sys, junitparser
suites = junitparser.JUnitXml.fromstring(sys.stdin.buffer.read())
json.dump({case.name: [[type(bad).__name__.lower(), bad.type, bad.message] for bad in case.result]
           for suite in suites for case in suite}, sys.stdout)
";

fn python(program: &str, input: &[u8]) -> BTreeMap<String, Vec<[String; 3]>> {
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    let mut stdin = python.stdin.take().expect("stdin is a pipe");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    let output = python.wait_with_output().expect("it is our child");
    assert!(output.status.success(), "{}", input.escape_ascii());
    serde_json::from_slice(&output.stdout).expect("it writes JSON")
}

fn junit(arguments: &[&str]) -> BTreeMap<String, Vec<[String; 3]>> {
    let looked = check(&[&SHORT, &["--format", "junit"], arguments]);
    assert_no_control_characters(stdout(&looked));
    let cases = python(READ_XML, &looked.stdout);
    let ok = cases.values().all(Vec::is_empty);
    assert_eq!(ok, looked.status.code() == Some(0), "{cases:#?}");
    cases
}

#[test]
fn check_writes_junit_that_xml_parsers_read() {
    in_private_network(|| {
        if !have("python3") {
            return;
        }
        with_hostile_server(|| {
            let cases = junit(&["--warn", "close-wait=1", "--crit", "queue=80%"]);
            assert!(cases["all that matters could be seen"].is_empty());
            assert!(cases["threshold queue"].is_empty());
            assert_eq!(
                cases["threshold close_wait"][0][..2],
                ["failure", "WARNING"]
            );
            let [element, kind, message] = &cases["acceptor-busy 127.0.0.1:8080"][0];
            assert_eq!([element.as_str(), kind], ["failure", "CRITICAL"]);
            assert!(message.contains("|a=1;'\"<&]]>%0A"), "{message}");
        });
        with_control_characters(|| {
            junit(&[]);
        });
        let cases = junit(&["--from", "/nonexistent"]);
        assert_eq!(cases["all that matters could be seen"][0][0], "error");
    });
}

#[test]
fn check_writes_junit_that_junitparser_reads() {
    in_private_network(|| {
        if !have_module("python3", &["-c", "import junitparser"]) {
            return;
        }
        with_young_close_waits(|| {
            outlast(SHORT_GRACE);
            let format = [
                "--format", "junit", "--source", "procfs", "--crit", "age=60s",
            ];
            let looked = check(&[&SHORT, &format]);
            let cases = python(READ_JUNIT, &looked.stdout);
            assert_eq!(cases, python(READ_XML, &looked.stdout));
            assert_eq!(cases["threshold oldest_age"][0][..2], ["error", "UNKNOWN"]);
        });
    });
}

/// A workflow command as the runner of GitHub Actions takes it apart: its name, its title, its message.
fn read_workflow_command(line: &str) -> [String; 3] {
    let (command, message) = line
        .strip_prefix("::")
        .and_then(|line| line.split_once("::"))
        .unwrap_or_else(|| panic!("{line}"));
    let (name, properties) = command.split_once(' ').expect("a title");
    let mut properties = properties.split(',');
    let title = properties
        .next()
        .and_then(|title| title.strip_prefix("title="));
    assert_eq!(properties.next(), None, "{line}");
    let unescape = |text: &str| text.replace("%0D", "\r").replace("%0A", "\n");
    let title = unescape(title.expect("a title"))
        .replace("%3A", ":")
        .replace("%2C", ",");
    let message = unescape(message);
    [name.to_owned(), title, message].map(|text| text.replace("%25", "%"))
}

#[test]
fn check_writes_workflow_commands_that_github_reads() {
    in_private_network(|| {
        let github = |arguments: &[&str]| {
            let looked = check(&[&SHORT, &["--format", "github"], arguments]);
            assert_no_control_characters(stdout(&looked));
            let commands = stdout(&looked).lines().map(read_workflow_command);
            commands.collect::<Vec<_>>()
        };
        with_hostile_server(|| {
            let commands = github(&["--warn", "close-wait=1"]);
            let [finding, threshold] = &commands[..] else {
                panic!("{commands:#?}")
            };
            assert_eq!(finding[0], "error");
            assert!(
                finding[1].starts_with("CLOSEWAIT CRITICAL acceptor-busy 127.0.0.1:8080 |a=1;'\""),
                "{finding:#?}"
            );
            assert!(finding[1].contains("%0A["), "{finding:#?}");
            assert!(finding[2].lines().count() > 2, "{finding:#?}");
            assert_eq!(threshold[0], "warning");
            assert_eq!(threshold[2], "close-wait 2 is above 1");
        });
        with_control_characters(|| assert_eq!(github(&[])[0][0], "error"));
        assert_eq!(github(&[])[0][0], "notice");
        assert_eq!(github(&["--from", "/nonexistent"])[0][0], "warning");
    });
}
