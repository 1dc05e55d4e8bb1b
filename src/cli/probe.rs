//! `probe`: ask a listener with a connection of our own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::options::parse_duration;
use super::{ExitStatus, Manner, output, scan};
use crate::act::probe::{self, Order};
use crate::act::{self, Target, Wanted};
use crate::collect::kernel::{LiveKernel, netns};
use crate::correlate::Analysis;
use crate::look::{self, LookOptions};
use crate::model::Scope;
use crate::render::{self, ProbeReport, TableOptions};
use crate::rules::{self, Finding, thresholds};

/// Open a connection to a listener of this host and see what its queue and its server do: how fast
/// it is accepted, what it does for those who wait, whether it is closed or answered.
///
/// Nothing is sent unless --payload says so. A connection that the server does not accept stays in
/// its queue, closed, until the server does: each takes one place.
#[derive(Args)]
pub(super) struct ProbeArgs {
    #[command(flatten)]
    which: WhichListener,

    /// How many connections to open, one after another.
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=MOST))]
    count: u32,

    /// How long to watch each.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_timeout)]
    timeout: Duration,

    /// Send what is in this file on each connection, and wait for an answer.
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,

    /// How to print the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: ActFormat,
}

/// Each connection takes a place in the queue of a server that does not accept.
const MOST: i64 = 100;

/// The largest payload: what a socket takes at once.
const PAYLOAD_BYTES: usize = 64 * 1024;

/// Which listener is meant, and how to look at it.
#[derive(Args)]
pub(super) struct WhichListener {
    /// The listener that a connection to this address reaches.
    #[arg(value_name = "ADDRESS:PORT", conflicts_with = "port")]
    pub address: Option<SocketAddr>,

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

impl WhichListener {
    /// The listener that is meant, where one is named.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        match (self.address, self.port) {
            (Some(address), _) => Some(Wanted::Address(address)),
            (None, Some(port)) => Some(Wanted::Port(port)),
            (None, None) => None,
        }
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

    /// Takes a look with this scope, with the owners of what is healthy too.
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

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text)?;
    if timeout.is_zero() || timeout > Duration::from_secs(60) {
        return Err("between 1ms and 1m".to_owned());
    }
    Ok(timeout)
}

pub(super) fn run(arguments: &ProbeArgs, manner: Manner) -> Result<ExitStatus> {
    let which = &arguments.which;
    let Some(wanted) = which.wanted() else {
        bail!("which listener? Name its port (--port 8080) or its address (127.0.0.1:8080)");
    };
    let order = Order {
        count: arguments.count,
        timeout: arguments.timeout,
        payload: arguments.payload.as_deref().map(read_payload).transpose()?,
    };
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
    let probe = probe::probe(&mut kernel, &target, &order)?;
    let behaviour = probe::behaviour(&probe, stuck);
    let weighed = findings
        .into_iter()
        .map(|finding| probe::weigh(finding, behaviour))
        .collect();
    let report = ProbeReport {
        taken_at,
        snapshot: &analysis.snapshot,
        probe: &probe,
        behaviour,
        findings: weighed,
    };
    output::with_stdout(manner.color, |out| match arguments.format {
        ActFormat::Json => render::write_probe_json(&report, out),
        ActFormat::Table => {
            let options = TableOptions {
                width: output::terminal_width(),
                all: manner.verbose,
                limit: None,
            };
            render::write_probe_table(&report, options, out)
        }
    })
    .context("writing the answer")?;
    Ok(ExitStatus::Success)
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

fn read_payload(file: &std::path::Path) -> Result<Vec<u8>> {
    let bytes =
        std::fs::read(file).with_context(|| format!("reading the payload {}", file.display()))?;
    if bytes.len() > PAYLOAD_BYTES {
        bail!(
            "the payload {} is larger than {PAYLOAD_BYTES} bytes",
            file.display()
        );
    }
    Ok(bytes)
}
