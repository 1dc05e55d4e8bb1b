//! Writes the manual pages and the completions of the shells into a folder.
//!
//! Usage: `cargo run --example manual -- FOLDER`. The pages go to `FOLDER/man1`, the completions to
//! `FOLDER/completions`. They are made from the same arguments as `--help`; the released program does not carry them.
#![expect(
    clippy::disallowed_methods,
    reason = "a program that writes files, which the arguments name"
)]

use std::io;
use std::path::Path;

use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::{Generator, Shell};
use closewait_doctor::cli;
use closewait_doctor::render::page::TOPICS;
use closewait_doctor::rules::RULES;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1);
    let folder = folder.ok_or_else(|| io::Error::other("usage: manual FOLDER"))?;
    write_pages(&Path::new(&folder).join("man1"))?;
    write_completions(&Path::new(&folder).join("completions"))
}

fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(cli::command(), folder)
}

fn write_completions(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut command = with_ids(cli::command());
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, NAME, &mut script);
        let script = String::from_utf8_lossy(&script).replace(MISSPELT, SPELT);
        std::fs::write(folder.join(shell.file_name(NAME)), script)?;
    }
    Ok(())
}

const NAME: &str = "closewait-doctor";

/// clap_complete 4.6 writes the program's name in two ways into the script of bash where it has a hyphen; then no
/// command's options are completed.
const MISSPELT: &str = "closewait__subcmd__doctor";
const SPELT: &str = "closewait__doctor";

/// What `explain` knows is completed; on the command line the beginning of a name will do as well.
fn with_ids(command: Command) -> Command {
    let ids = RULES.iter().map(|rule| rule.id);
    let ids: Vec<&str> = ids.chain(TOPICS.iter().map(|topic| topic.name)).collect();
    command.mut_subcommand("explain", |explain| {
        explain.mut_arg("id", |id| id.value_parser(PossibleValuesParser::new(ids)))
    })
}
