//! The documents say what the program does: generated ones are compared with their origin, written ones are searched
//! for what must be in them.
//!
//! `UPDATE_DOCS=1 cargo test --test docs` writes the generated ones anew.
#![expect(
    clippy::disallowed_methods,
    reason = "documents and reports are files, and the environment says whether to write them"
)]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use closewait_doctor::collect::kernel::RecordedKernel;
use closewait_doctor::render::{
    self,
    metrics::{METRICS, PREFIX},
};
use closewait_doctor::rules::RULES;
use flate2::Compression;
use flate2::read::GzEncoder;
use serde_json::Value;

const COMMANDS: [&str; 9] = [
    "scan", "check", "explain", "record", "probe", "relieve", "exporter", "watch", "trace",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(document: impl AsRef<Path>) -> String {
    let path = root().join(document);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a generated document with its file, or writes the file where that was asked for.
fn assert_generated(document: &str, text: &str) {
    if env::var_os("UPDATE_DOCS").is_some_and(|wanted| wanted == "1") {
        fs::write(root().join(document), text).expect("the documents can be written");
    }
    assert!(
        read(document) == text,
        "{document} is out of date: run `UPDATE_DOCS=1 cargo test --test docs` and read the difference"
    );
}

// ------------------------------------------------------------------------------------------ the command line

fn doctor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_closewait-doctor"))
        .args(arguments)
        // Help is laid out for the terminal that these describe.
        .env_remove("COLUMNS")
        .env_remove("LINES")
        .stdin(Stdio::null())
        .output()
        .expect("the doctor is built")
}

fn answer(arguments: &[&str]) -> String {
    let output = doctor(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("the doctor writes UTF-8")
}

/// Help ends some lines with blanks, which no editor keeps.
fn help(arguments: &[&str]) -> String {
    let text = answer(&[arguments, &["--help"]].concat());
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[test]
fn the_command_line_reference_is_what_help_prints() {
    let section = |command: &[&str]| {
        let name = [&["closewait-doctor"], command].concat().join(" ");
        format!("\n## `{name}`\n\n```text\n{}\n```\n", help(command))
    };
    let sections = COMMANDS.map(|command| section(&[command]));
    let reference = format!(
        "# Command line\n\nWhat `--help` prints. This page is generated: \
         `UPDATE_DOCS=1 cargo test --test docs`.\n{}{}",
        section(&[]),
        sections.concat()
    );
    assert_generated("docs/cli.md", &reference);
}

#[test]
fn help_lists_the_commands_that_these_tests_know() {
    let text = help(&[]);
    let (_, commands) = text
        .split_once("Commands:\n")
        .expect("there is a list of commands");
    let listed: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert_eq!(listed, COMMANDS);
}

#[test]
fn the_readme_names_every_command_and_every_option() {
    let readme = read("README.md");
    for command in COMMANDS {
        assert!(
            readme.contains(&format!("closewait-doctor {command}")),
            "README.md says nothing of the command {command}"
        );
        for option in options(&help(&[command])) {
            assert!(
                readme.contains(&format!("`{option}")) || readme.contains(&format!(" {option}`")),
                "README.md says nothing of {option}, an option of {command}"
            );
        }
    }
}

/// The table of metrics in docs/exporter.md, which stands at its end.
#[test]
fn the_table_of_metrics_is_made_from_the_catalogue() {
    let rows = METRICS.iter().map(|metric| {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let name = metric.full_name();
        let name = name.strip_prefix(PREFIX).expect("all names have it");
        format!("| `{name}` | {} | {} |\n", labels.join(", "), metric.help)
    });
    let table: String = rows.collect();
    let page = read("docs/exporter.md");
    let (before, _) = page
        .split_once("| metric |")
        .expect("there is a table of metrics");
    let head = "| metric | labels | what it says |\n| --- | --- | --- |\n";
    assert_generated("docs/exporter.md", &format!("{before}{head}{table}"));
}

#[test]
fn what_is_packaged_asks_only_for_metrics_that_exist() {
    let names: BTreeSet<String> = METRICS.iter().map(|metric| metric.full_name()).collect();
    for file in [
        "packaging/prometheus/alerts.yml",
        "packaging/prometheus/recording-rules.yml",
        "packaging/prometheus/alerts.test.yml",
        "packaging/grafana/closewait-doctor.json",
    ] {
        let text = read(file);
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let words = text.split(|c| !is_of_name(c));
        for word in words.filter(|word| word.starts_with(PREFIX)) {
            assert!(names.contains(word), "{file} asks for {word}");
        }
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn alerts_fire_for_their_incidents_and_dashboards_are_json() {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/closewait-doctor.json"))
        .expect("the dashboard is JSON");
    assert!(
        dashboard["panels"]
            .as_array()
            .is_some_and(|all| all.len() > 5)
    );
    let promtool = Command::new("promtool")
        .args(["test", "rules", "alerts.test.yml"])
        .current_dir(root().join("packaging/prometheus"))
        .output();
    match promtool {
        Ok(run) => assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stdout)
        ),
        Err(_) => eprintln!("SKIPPED: promtool is not installed"),
    }
}

#[test]
fn explain_prints_the_page_of_wait_chains() {
    assert_eq!(answer(&["explain", "waits"]), read("docs/waits.md"));
}

#[test]
fn explain_lists_every_finding_and_every_topic() {
    let list = answer(&["explain"]);
    let names = RULES.iter().map(|rule| rule.id);
    for name in names.chain(["waits"]) {
        let row = list.lines().find(|line| line.starts_with(name));
        let summary = row.and_then(|line| line.strip_prefix(name)).map(str::trim);
        assert!(
            summary.is_some_and(|text| text.ends_with('.')),
            "{name}: {row:?}"
        );
    }
}

/// The long options that a help text describes.
fn options(help: &str) -> BTreeSet<String> {
    help.lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_end_matches(',').to_owned())
        .filter(|option| !["--help", "--version"].contains(&option.as_str()))
        .collect()
}

// ------------------------------------------------------------------------------------------------ the report

#[test]
fn the_schema_file_is_made_from_the_types() {
    let schema = format!("{}\n", render::schema());
    assert_generated("docs/report-v1.schema.json", &schema);
}

#[test]
fn the_schema_files_of_probe_and_relieve_are_made_from_the_types() {
    for (document, schema) in [
        ("docs/probe-v1.schema.json", render::probe_schema()),
        ("docs/relieve-v1.schema.json", render::relieve_schema()),
    ] {
        assert_generated(document, &format!("{schema}\n"));
    }
}

/// A page, its schema, and how its example begins.
fn pages_of_probe_and_relieve() -> [(&'static str, Value); 2] {
    let parse = |schema: &str| serde_json::from_str(schema).expect("a schema is JSON");
    [
        ("docs/probe.md", parse(&render::probe_schema())),
        ("docs/relieve.md", parse(&render::relieve_schema())),
    ]
}

#[test]
fn every_field_of_probe_and_relieve_is_described() {
    for (document, schema) in pages_of_probe_and_relieve() {
        let page = read(document);
        for field in fields(&schema) {
            assert!(
                page.contains(&format!("`{field}`")),
                "{document} says nothing of {field}"
            );
        }
    }
}

#[test]
fn the_examples_of_probe_and_relieve_are_as_their_schemas_say() {
    for (document, schema) in pages_of_probe_and_relieve() {
        let page = read(document);
        let (_, example) = page
            .split_once("```json\n")
            .unwrap_or_else(|| panic!("{document} has an example"));
        let (example, _) = example.split_once("\n```").expect("the example ends");
        let example: Value = serde_json::from_str(example).expect("the example is JSON");
        let misfits = misfits(&schema, &schema, &example, document);
        assert!(misfits.is_empty(), "{misfits:#?}");
    }
}

#[test]
fn a_report_of_this_host_is_as_the_schema_says() {
    assert_fits(&answer(&["scan", "--format", "json"]));
}

#[test]
fn a_check_is_as_the_schema_says() {
    let arguments = [
        "check",
        "--format",
        "json",
        "--warn",
        "close-wait=10,queue=80%,age=60s",
    ];
    let output = doctor(&arguments);
    assert_fits(&String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_report_from_procfs_is_as_the_schema_says() {
    let report = answer(&["scan", "--source", "procfs", "--format", "json"]);
    assert_fits(&report);
}

#[test]
fn a_report_of_a_recording_is_as_the_schema_says() {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let file = folder.path().join("host.recording");
    let file = file.to_str().expect("temporary paths are UTF-8");
    answer(&["record", "--redact", "-o", file]);
    assert_fits(&answer(&["scan", "--format", "json", "--from", file]));
}

#[test]
fn the_example_of_a_report_is_as_the_schema_says() {
    let page = read("docs/output.md");
    let (_, example) = page
        .split_once("```json\n{\n  \"schema\"")
        .expect("docs/output.md has an example");
    let (example, _) = example.split_once("\n```").expect("the example ends");
    assert_fits(&format!("{{\n  \"schema\"{example}"));
}

#[test]
fn every_field_of_the_report_is_described() {
    let page = read("docs/output.md");
    for field in fields(&schema()) {
        assert!(
            page.contains(&format!("`{field}`")),
            "docs/output.md says nothing of {field}"
        );
    }
}

fn schema() -> Value {
    serde_json::from_str(&render::schema()).expect("the schema is JSON")
}

fn fields(schema: &Value) -> BTreeSet<String> {
    let definitions = schema["$defs"].as_object().expect("there are definitions");
    std::iter::once(schema)
        .chain(definitions.values())
        .filter_map(|object| object["properties"].as_object())
        .flat_map(|properties| properties.keys().cloned())
        .collect()
}

fn assert_fits(report: &str) {
    let report: Value = serde_json::from_str(report).expect("a report is JSON");
    let schema = schema();
    let misfits = misfits(&schema, &schema, &report, "report");
    assert!(misfits.is_empty(), "{misfits:#?}");
}

/// Fields that are left out where they do not apply.
const OPTIONAL: [&str; 2] = ["check", "via"];

/// Where a value is not as a schema says. Of JSON Schema it knows what ours are made of, and it is stricter: an object
/// has every field that it may have but the optional ones, because what is not known is null and not left out.
fn misfits(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#'));
        let schema = target.expect("references lead somewhere");
        return misfits(root, schema, value, at);
    }
    if let Some(choices) = ["anyOf", "oneOf"]
        .iter()
        .find_map(|keyword| schema[*keyword].as_array())
    {
        let fits = |choice| misfits(root, choice, value, at).is_empty();
        return if choices.iter().any(fits) {
            Vec::new()
        } else {
            vec![format!("{at} is none of {choices:?}: {value}")]
        };
    }
    let mut found = Vec::new();
    if !is_allowed(schema, value) {
        found.push(format!("{at} is {value}, which is not {schema}"));
    }
    found.extend(misfits_in_items(root, schema, value, at));
    found.extend(misfits_in_fields(root, schema, value, at));
    found
}

fn misfits_in_items(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let (Some(schema), Some(items)) = (schema.get("items"), value.as_array()) else {
        return Vec::new();
    };
    let items = items.iter().enumerate();
    items
        .flat_map(|(index, item)| misfits(root, schema, item, &format!("{at}[{index}]")))
        .collect()
}

fn misfits_in_fields(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let (Some(schemas), Some(fields)) = (schema["properties"].as_object(), value.as_object())
    else {
        return Vec::new();
    };
    let unknown = fields.keys().filter(|name| !schemas.contains_key(*name));
    let mut found: Vec<String> = unknown
        .map(|name| format!("{at}.{name} is in no schema"))
        .collect();
    for (name, schema) in schemas {
        let at = format!("{at}.{name}");
        match fields.get(name) {
            Some(field) => found.extend(misfits(root, schema, field, &at)),
            None if OPTIONAL.contains(&name.as_str()) => {}
            None => found.push(format!("{at} is missing")),
        }
    }
    found
}

fn is_allowed(schema: &Value, value: &Value) -> bool {
    is_of_type(&schema["type"], value)
        && schema["enum"]
            .as_array()
            .is_none_or(|words| words.contains(value))
        && schema.get("const").is_none_or(|word| word == value)
}

fn is_of_type(types: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().expect("a type is a word") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type of JSON"),
    };
    match types {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    }
}

// ----------------------------------------------------------------------------------------------- the documents

#[test]
fn the_list_of_findings_has_every_finding_with_its_summary() {
    let list = read("docs/findings/README.md");
    for rule in RULES {
        let (id, summary) = (rule.id, rule.summary());
        assert!(
            list.contains(&format!("[`{id}`]({id}.md)")),
            "{id} is not listed"
        );
        assert!(
            list.contains(summary),
            "the list has another summary of {id} than its page: {summary}"
        );
    }
}

#[test]
fn links_to_files_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        let folder = root().join(&document);
        let folder = folder.parent().expect("a document is in a folder");
        for target in links(&text) {
            assert!(
                folder.join(target).exists(),
                "{} links to {target}, which is not there",
                document.display()
            );
        }
    }
}

/// Every Markdown file, by its path from the root.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/decisions", "docs/findings"] {
        let entries = fs::read_dir(root().join(folder)).expect("the folder is there");
        let names = entries.map(|entry| entry.expect("a readable folder").file_name());
        found.extend(
            names
                .map(|name| Path::new(folder).join(name))
                .filter(|path| path.extension().is_some_and(|ending| ending == "md")),
        );
    }
    assert!(found.len() > RULES.len());
    found
}

/// The targets of links, apart from those into the web and within a document.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

/// A seed in an old format teaches the fuzz targets nothing: `fuzz/make-seeds` makes new ones.
#[test]
fn seeds_of_the_fuzz_targets_can_be_read_as_recordings() {
    let folder = fs::read_dir(root().join("fuzz/seeds/recording")).expect("there are seeds");
    for seed in folder {
        let path = seed.expect("a readable folder").path();
        let lines = fs::File::open(&path).expect("a readable file");
        let packed = GzEncoder::new(lines, Compression::fast());
        if let Err(error) = RecordedKernel::read_from(packed) {
            panic!("{}: {error}", path.display());
        }
    }
}
