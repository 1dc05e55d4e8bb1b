//! The manual pages and the completions: as the tools that read them want them.
#![expect(
    clippy::disallowed_methods,
    reason = "the pages are files, and the tools are run on them"
)]
#![expect(clippy::print_stderr, reason = "what is skipped is said")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn example() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    path.pop();
    path.join("examples/manual")
}

fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let status = Command::new(example()).arg(folder.path()).status();
    assert!(status.expect("the example is built").success());
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it was written");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    files.sort();
    files
}

/// Runs a tool on a file, if it is there; what it complains about is wrong.
fn accepts(tool: &[&str], file: &Path) {
    let output = match Command::new(tool[0]).args(&tool[1..]).arg(file).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: {}: {error}", tool[0]);
            return;
        }
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{tool:?} {}: {complaint}",
        file.display()
    );
}

#[test]
fn every_command_has_a_page_that_man_reads_without_warnings() {
    let folder = written();
    let pages = files(&folder.path().join("man1"));
    let names: Vec<_> = pages
        .iter()
        .filter_map(|page| page.file_name()?.to_str())
        .collect();
    for command in [
        "", "-scan", "-check", "-explain", "-record", "-probe", "-relieve",
    ] {
        let name = format!("closewait-doctor{command}.1");
        assert!(names.contains(&name.as_str()), "{name}: {names:?}");
    }
    assert!(
        !names.iter().any(|name| name.contains("helper")),
        "{names:?}"
    );
    for page in &pages {
        accepts(&["man", "--warnings", "-l", "-P", "cat"], page);
    }
}

#[test]
fn each_shell_reads_its_completions() {
    let folder = written();
    let folder = folder.path().join("completions");
    assert_eq!(files(&folder).len(), 3);
    accepts(&["bash", "-n"], &folder.join("closewait-doctor.bash"));
    accepts(&["zsh", "-n"], &folder.join("_closewait-doctor"));
    accepts(
        &["fish", "--no-execute"],
        &folder.join("closewait-doctor.fish"),
    );
}

#[test]
fn bash_completes_commands_options_and_findings() {
    let folder = written();
    let script = folder.path().join("completions/closewait-doctor.bash");
    let complete = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let program = format!(
            "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; \
             complete=$(complete -p closewait-doctor); complete=${{complete#*-F }}; ${{complete%% *}} closewait-doctor \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[*]}}\"",
            script.display(),
            words.join(" "),
            words.len() - 1
        );
        let output = Command::new("bash").args(["-c", &program]).output();
        String::from_utf8(output.expect("bash is there").stdout).expect("words")
    };
    assert_eq!(complete(&["closewait-doctor", "sc"]).trim(), "scan");
    assert!(complete(&["closewait-doctor", "scan", "--net"]).contains("--netns"));
    assert_eq!(
        complete(&["closewait-doctor", "explain", "edge"]).trim(),
        "edge-triggered-stall"
    );
}
