//! `probe`: ask a listener with a connection of our own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::options::parse_duration;
use super::{ExitStatus, OutputOptions, output, scan};
use crate::act::probe::{self, ProbeOptions};
use crate::act::{self, ListenerChoice, Target};
use crate::collect::kernel::{LiveKernel, netns};
use crate::correlate::Analysis;
use crate::look::{self, LookOptions};
use crate::model::Scope;
use crate::render::{self, ProbeReport};
use crate::rules::{self, Finding, thresholds};

/// Open a connection to a listener of this host and say what became of it: REFUSED, DROPPED, QUEUED,
/// ACCEPTED (a process took it, and no bytes came back) or ANSWERED (bytes came back).
///
/// Accepted is not healthy. To see whether the server answers, send a request: --send 'GET /
/// HTTP/1.0\r\n\r\n'. Nothing is sent unless --send or --payload says so. A connection that is not
/// accepted stays in the queue, closed, until the server accepts it: each takes one place.
#[derive(Args)]
pub(super) struct ProbeArgs {
    #[command(flatten)]
    which: WhichListener,

    /// How many connections to open, one after another.
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=MOST))]
    count: u32,

    /// How long each may take to be accepted.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_timeout)]
    timeout: Duration,

    /// Send this text on each connection; \r \n \t \0 \\ \xHH stand for single bytes.
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "payload",
        allow_hyphen_values = true
    )]
    send: Option<String>,

    /// Send the content of this file on each connection (at most 64 KiB).
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,

    /// How long to wait for bytes from the server once it has accepted.
    /// [default: as --timeout, if something is sent; else not at all]
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    wait: Option<Duration>,

    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: ActFormat,
}

/// Each connection takes a place in the queue of a server that does not accept.
const MOST: i64 = 100;

/// Which listener is meant, and how to look at it.
#[derive(Args)]
pub(super) struct WhichListener {
    /// The listener on this port, or the one that a connection to this address reaches: 8080, :8080,
    /// 127.0.0.1:8080.
    #[arg(value_name = "[ADDRESS]:PORT", conflicts_with = "port", value_parser = parse_listener)]
    pub listener: Option<ListenerChoice>,

    /// The listener on this port.
    #[arg(long, short = 'p', value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// In this network namespace: a name of `ip netns`, a path, or a process id.
    #[arg(long, value_name = "NAME|PATH|PID")]
    pub netns: Option<String>,

    /// Leave connections alone that are younger than this [default: 3s].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub min_age: Option<Duration>,

    /// Where procfs is mounted.
    #[arg(long, value_name = "ROOT", default_value = "/proc")]
    pub procfs: PathBuf,
}

/// How the reports of `probe` and `relieve` are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ActFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl ActFormat {
    /// JSON where `--json` asks for it.
    pub(super) fn or_json(self, options: OutputOptions) -> Self {
        if options.json { Self::Json } else { self }
    }
}

impl WhichListener {
    /// The listener that is meant, where one is named.
    pub(super) fn wanted(&self) -> Option<ListenerChoice> {
        self.listener.or(self.port.map(ListenerChoice::Port))
    }

    /// Goes where it is.
    pub(super) fn enter(&self) -> Result<()> {
        match &self.netns {
            Some(name) => netns::enter(name, &self.procfs)
                .with_context(|| format!("entering the network namespace {name}")),
            None => Ok(()),
        }
    }

    pub(super) fn grace(&self) -> Duration {
        self.min_age.unwrap_or(thresholds::GRACE)
    }

    /// Takes a look with this scope; it also reads the owners of healthy sockets.
    pub(super) fn look(&self, kernel: &mut LiveKernel, scope: &Scope) -> Result<Arc<Analysis>> {
        let options = LookOptions {
            scope: scope.clone(),
            grace: self.grace(),
            inventory: true,
            ..LookOptions::default()
        };
        Ok(Arc::clone(look::take(kernel, &options)?.analysis()))
    }
}

/// Parses a listener as people write it.
fn parse_listener(text: &str) -> Result<ListenerChoice, String> {
    if let Ok(address) = text.parse() {
        return Ok(ListenerChoice::Address(address));
    }
    match text.strip_prefix(':').unwrap_or(text).parse() {
        Ok(port) if port > 0 => Ok(ListenerChoice::Port(port)),
        _ => Err("a port (8080) or an address with a port (127.0.0.1:8080, [::1]:8080)".to_owned()),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text)?;
    if timeout.is_zero() || timeout > Duration::from_secs(60) {
        return Err("between 1ms and 1m".to_owned());
    }
    Ok(timeout)
}

impl ProbeArgs {
    fn options(&self) -> Result<ProbeOptions> {
        let send = match (&self.send, &self.payload) {
            (Some(text), _) => Some(probe::parse_text(text).context("--send")?),
            (None, Some(file)) => Some(
                probe::read_payload(file)
                    .with_context(|| format!("the payload {}", file.display()))?,
            ),
            (None, None) => None,
        };
        let wait = match (self.wait, &send) {
            (Some(wait), _) => wait,
            (None, Some(_)) => self.timeout,
            (None, None) => Duration::ZERO,
        };
        Ok(ProbeOptions {
            count: self.count,
            timeout: self.timeout,
            send,
            wait,
        })
    }
}

pub(super) fn run(arguments: &ProbeArgs, output_options: OutputOptions) -> Result<ExitStatus> {
    let which = &arguments.which;
    let Some(wanted) = which.wanted() else {
        bail!("which listener? Name its port (--port 8080) or its address (127.0.0.1:8080)");
    };
    let options = arguments.options()?;
    which.enter()?;
    let taken_at = scan::now();
    let mut kernel = LiveKernel::new(&which.procfs);
    let scope = Scope {
        ports: vec![wanted.port().into()],
        netns: which.netns.clone(),
        ..Scope::default()
    };
    let analysis = which.look(&mut kernel, &scope)?;
    let target = act::target(&analysis.snapshot.sockets.listeners, wanted)?;
    target.expect_reachable()?;
    let findings = about(rules::diagnose(&analysis), &target);
    let stuck = !findings.is_empty();
    let probe = probe::probe(&mut kernel, &target, &options)?;
    let behaviour = probe::behaviour(&probe, stuck);
    let assessed = findings
        .into_iter()
        .map(|finding| probe::assess(finding, behaviour, &probe))
        .collect();
    let report = ProbeReport {
        taken_at,
        snapshot: &analysis.snapshot,
        probe: &probe,
        behaviour,
        findings: assessed,
    };
    output::with_stdout(output_options.color, |out| {
        match arguments.format.or_json(output_options) {
            ActFormat::Json => render::write_probe_json(&report, out),
            ActFormat::Table => {
                let options = output::table_options(output_options);
                render::write_probe_table(&report, options, out)
            }
        }
    })
    .context("writing the answer")?;
    Ok(match probe::outcome(&probe) {
        Some(_) => ExitStatus::Success,
        None => ExitStatus::CouldNotLook,
    })
}

/// The findings that are about this listener's queue.
pub(super) fn about(findings: Vec<Finding>, target: &Target) -> Vec<Finding> {
    findings
        .into_iter()
        .filter(|finding| {
            finding.subject.kind == rules::SubjectKind::Listener
                && finding.subject.local == Some(target.local)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_named_as_people_write_it() {
        let port = Ok(ListenerChoice::Port(8080));
        assert_eq!(parse_listener("8080"), port);
        assert_eq!(parse_listener(":8080"), port);
        for text in ["127.0.0.1:8080", "[::1]:8080"] {
            let address = text.parse().unwrap();
            assert_eq!(parse_listener(text), Ok(ListenerChoice::Address(address)));
        }
        for text in ["0", "", ":", "70000", "nginx", "127.0.0.1", "::8080"] {
            assert!(parse_listener(text).is_err(), "{text}");
        }
    }
}
