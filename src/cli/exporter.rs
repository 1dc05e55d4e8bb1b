//! `exporter`: looks on their own schedule, and metrics for Prometheus.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::OutputOptions;
use super::follower::{Follower, Taken};
use super::options::{TargetArgs, parse_interval};
use super::output::{self, complain};
use crate::act;
use crate::collect::rights;
use crate::follow::{History, LookTally};
use crate::model::Pid;
use crate::render;
use crate::render::metrics::{Exposition, MaxSeries, MetricsPage};
use crate::report::Report;
use crate::serve::{Pages, Published, Schedule, Server, Signal};

/// Look again and again, and serve the numbers to Prometheus: /metrics, /healthz.
///
/// Looks have their own schedule; a scrape gets the last one and waits for none. SIGHUP looks at once, SIGTERM ends.
#[derive(Args)]
pub(super) struct ExporterArgs {
    #[command(flatten)]
    target: TargetArgs,

    /// Where to listen (repeatable). There is no TLS and no password: elsewhere than on loopback, put a proxy
    /// before it [default: 127.0.0.1:9742, with --textfile nowhere].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,

    /// The time between the beginnings of two looks.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_interval)]
    interval: Duration,

    /// The most series on the page; what does not fit is summed in `other`.
    #[arg(long, value_name = "NUMBER", default_value = "2000", value_parser = parse_max_series)]
    max_series: MaxSeries,

    /// Write the metrics to this file after each look, for the textfile collector of node_exporter; its name ends
    /// with .prom.
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,

    /// Serve the last look at /report, as `scan --format json` prints it. It has the addresses of clients and the
    /// command lines of programs.
    #[arg(long)]
    serve_report: bool,

    /// Replay a recording at each look instead of looking at this host.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["netns", "source", "observe"])]
    from: Option<PathBuf>,
}

/// Where Prometheus finds it if nothing else is said.
const ADDRESS: &str = "127.0.0.1:9742";

/// After so many intervals without a look that succeeded, the exporter does not count as healthy.
const FRESH_INTERVALS: u32 = 3;

pub(super) fn run(arguments: &ExporterArgs, output_options: OutputOptions) -> Result<()> {
    output::expect_no_json(output_options, "exporter")?;
    let addresses = addresses(arguments)?;
    let mut server = Server::listen(&addresses)?;
    let follower = follower(arguments)?;
    let target = &arguments.target;
    rights::keep_only_reading(target.all_netns || target.netns.is_some())
        .context("giving up rights that looking does not take")?;
    let signals = signals().context("asking for signals")?;
    tell_where(&server);

    let mut looks = Looks::new(arguments, follower);
    let published = Published::new(looks.page(None));
    let (look_now, asked) = channel();
    let shared = published.clone();
    // It ends with the process: a look changes nothing that would have to be undone.
    std::thread::Builder::new()
        .name("looks".to_owned())
        .spawn(move || looks.follow(&shared, &asked))
        .context("starting the thread that looks")?;
    serve(&mut server, &published, &signals, &look_now)
}

fn addresses(arguments: &ExporterArgs) -> Result<Vec<SocketAddr>> {
    if let Some(file) = &arguments.textfile
        && file.extension().is_none_or(|extension| extension != "prom")
    {
        bail!(
            "{}: node_exporter reads only files whose names end with .prom",
            file.display()
        );
    }
    if !arguments.listen.is_empty() || arguments.textfile.is_some() {
        return Ok(arguments.listen.clone());
    }
    Ok(vec![ADDRESS.parse().context("the default address")?])
}

fn follower(arguments: &ExporterArgs) -> Result<Follower> {
    if let Some(file) = &arguments.from {
        return Follower::replay(file);
    }
    let mut options = arguments.target.look_options(true);
    options.counters = true;
    Ok(Follower::live(&arguments.target.procfs, options))
}

fn signals() -> std::io::Result<Vec<(UnixStream, Signal)>> {
    let wanted = [
        (SIGTERM, Signal::End),
        (SIGINT, Signal::End),
        (SIGHUP, Signal::Look),
    ];
    let register = |(number, signal)| {
        let (ours, its) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        pipe::register(number, its)?;
        Ok((ours, signal))
    };
    wanted.into_iter().map(register).collect()
}

fn tell_where(server: &Server) {
    for address in server.addresses() {
        complain(&format!("serving http://{address}/metrics"));
        if !address.ip().is_loopback() {
            complain(&format!(
                "{address} is not loopback, and this is neither encrypted nor protected by a password: put a proxy \
                 before it"
            ));
        }
    }
}

fn serve(
    server: &mut Server,
    published: &Published,
    signals: &[(UnixStream, Signal)],
    look_now: &Sender<()>,
) -> Result<()> {
    loop {
        match server.serve(published, signals).context("serving")? {
            Signal::End => return Ok(()),
            Signal::Look => look_now
                .send(())
                .context("the thread that looks has ended")?,
        }
    }
}

/// What the thread that looks keeps from look to look.
struct Looks {
    follower: Follower,
    history: History,
    tally: LookTally,
    began: Instant,
    max_series: MaxSeries,
    serve_report: bool,
    textfile: Option<PathBuf>,
    fresh_for: Duration,
    fresh_until: Instant,
    /// What was last complained about; the same is not said at each look.
    complaint: Option<String>,
}

impl Looks {
    fn new(arguments: &ExporterArgs, follower: Follower) -> Self {
        let interval = arguments.interval;
        let options = arguments.target.look_options(true);
        let fresh_for = interval * FRESH_INTERVALS + options.timeout + options.observe;
        let began = Instant::now();
        Self {
            follower,
            history: History::default(),
            tally: LookTally::new(interval),
            began,
            max_series: arguments.max_series,
            serve_report: arguments.serve_report,
            textfile: arguments.textfile.clone(),
            fresh_for,
            fresh_until: began + fresh_for,
            complaint: None,
        }
    }

    /// Looks at every beat of the schedule, and when somebody asks.
    fn follow(mut self, published: &Published, asked: &Receiver<()>) {
        let mut schedule = Schedule::new(self.tally.interval);
        loop {
            published.replace(self.look());
            let wait = schedule.wait(self.began.elapsed());
            if asked.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            // Asked for often, it looks once.
            while asked.try_recv().is_ok() {}
        }
    }

    fn look(&mut self) -> Pages {
        // A clock that jumps moves this one number, and nothing that is computed.
        let began = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let at = self.began.elapsed();
        let Taken {
            report,
            outcome,
            took,
        } = self.follower.look();
        self.tally.count(outcome, began.as_secs_f64(), took);
        let mut complaint = None;
        match &report {
            Ok(report) => {
                self.history.take(report, at);
                self.fresh_until = Instant::now() + self.fresh_for;
            }
            Err(error) => complaint = Some(format!("looking: {error}")),
        }
        let pages = self.page(report.as_ref().ok());
        if let Err(error) = self.write_textfile(&pages.text) {
            complaint = Some(format!("{error:#}"));
        }
        if complaint != self.complaint {
            complain(complaint.as_deref().unwrap_or("looking works again"));
            self.complaint = complaint;
        }
        pages
    }

    fn write_textfile(&self, page: &[u8]) -> Result<()> {
        let Some(file) = &self.textfile else {
            return Ok(());
        };
        act::publish_file(file, page).with_context(|| format!("writing {}", file.display()))
    }

    fn page(&mut self, report: Option<&Report>) -> Pages {
        let units = report.map_or_else(BTreeMap::new, units);
        let page = MetricsPage {
            report,
            history: &self.history,
            units: &units,
            looks: &self.tally,
            now: self.began.elapsed(),
            max_series: self.max_series,
        };
        let json = report.filter(|_| self.serve_report).map(|report| {
            let mut json = Vec::new();
            render::write_json(report, None, &mut json).expect("writing to memory cannot fail");
            json
        });
        Pages {
            text: written(&page, Exposition::Text),
            open_metrics: written(&page, Exposition::OpenMetrics),
            report: json,
            fresh_until: self.fresh_until,
        }
    }
}

/// The systemd units of the processes that hold what is shown.
fn units(report: &Report) -> BTreeMap<Pid, String> {
    let rows = report.processes.iter();
    rows.filter_map(|row| Some((row.pid, row.process().origin.known()?.unit.clone()?)))
        .collect()
}

fn written(page: &MetricsPage, exposition: Exposition) -> Vec<u8> {
    let mut bytes = Vec::new();
    page.write(exposition, &mut bytes)
        .expect("writing to memory cannot fail");
    bytes
}

fn parse_max_series(text: &str) -> Result<MaxSeries, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    MaxSeries::new(number).ok_or_else(|| format!("at least {}", MaxSeries::LEAST))
}
