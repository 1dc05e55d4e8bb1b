//! Options that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use super::target::Target;
use crate::look::LookOptions;
use crate::model::{PortRange, Scope};
use crate::rules::thresholds;

/// What to look at, and how.
#[derive(Args)]
pub(super) struct TargetArgs {
    /// What to look at, as it is typed.
    #[arg(
        value_name = "TARGET",
        help = "Only this: a port or range (8080, :8080, 8000-8099), an address (10.0.0.5:8080, [::1]:443), or \
                the name of a process or unit (nginx)"
    )]
    targets: Vec<Target>,

    /// Only listeners on this port or range, and connections with it on either end (repeatable, or a list:
    /// 80,443).
    #[arg(
        long = "port",
        short = 'p',
        value_name = "PORT[-PORT]",
        value_delimiter = ','
    )]
    ports: Vec<PortRange>,

    /// Only sockets that this process holds (repeatable, or a list).
    #[arg(long = "pid", value_name = "PID", value_delimiter = ',')]
    pub pids: Vec<u32>,

    /// Look into this network namespace: a name of `ip netns`, a path, or a process id.
    #[arg(long, value_name = "NAME|PATH|PID")]
    pub netns: Option<String>,

    /// Look into every network namespace that a process, a bind mount or a descriptor reaches.
    #[arg(long, conflicts_with = "netns")]
    pub all_netns: bool,

    /// Where to read sockets from; without it inet_diag, and procfs where that is refused.
    #[arg(long, value_enum)]
    pub source: Option<SourceArg>,

    /// Where procfs is mounted.
    #[arg(long, value_name = "ROOT", default_value = "/proc")]
    pub procfs: PathBuf,

    /// Leave connections alone that are younger than this.
    /// [default: 3s; of a recording, what it was made with]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub min_age: Option<Duration>,

    /// How long to watch suspicious listeners; 0 looks once [default: 150ms].
    #[arg(long, value_name = "DURATION", value_parser = parse_observe)]
    pub observe: Option<Duration>,

    /// How long the look may take, beside the time to watch; then it reports what it has [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = parse_observe)]
    pub timeout: Option<Duration>,
}

/// Where to read sockets from.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SourceArg {
    /// The `sock_diag` netlink interface.
    #[value(name = "inet_diag", alias = "inet-diag")]
    InetDiag,
    /// `/proc/net/tcp` and `/proc/net/tcp6`; without queue limits and ages.
    Procfs,
}

impl TargetArgs {
    /// Returns how to look at the running kernel; `inventory` also reads the owners of healthy sockets.
    pub(super) fn look_options(&self, inventory: bool) -> LookOptions {
        LookOptions {
            scope: self.scope(),
            grace: self.grace(),
            observe: self.observe.unwrap_or(thresholds::OBSERVE),
            observe_asked: self.observe.is_some(),
            timeout: self.timeout.unwrap_or(thresholds::LOOK_TIMEOUT),
            inventory,
            procfs: self.source == Some(SourceArg::Procfs),
            counters: false,
        }
    }

    /// The age from which on an unserved connection is stuck.
    pub(super) fn grace(&self) -> Duration {
        self.min_age.unwrap_or(thresholds::GRACE)
    }

    /// What the look is restricted to.
    pub(super) fn scope(&self) -> Scope {
        let mut scope = Scope {
            ports: self.ports.clone(),
            pids: self.pids.clone(),
            netns: self.netns.clone(),
            all_netns: self.all_netns,
            ..Scope::default()
        };
        for target in &self.targets {
            match target {
                Target::Port(range) => scope.ports.push(*range),
                Target::Address(address) => {
                    scope.ports.push(address.port().into());
                    scope.addresses.push(*address);
                }
                Target::Name(name) => scope.names.push(name.clone()),
            }
        }
        scope
    }
}

/// The longest time that a user may set.
const LONGEST_OBSERVATION: Duration = Duration::from_secs(3600);

fn parse_observe(text: &str) -> Result<Duration, String> {
    let observe = parse_duration(text)?;
    if observe > LONGEST_OBSERVATION {
        return Err("at most 1h".to_owned());
    }
    Ok(observe)
}

/// A look costs some milliseconds; more often than this it would be felt.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < SHORTEST_INTERVAL {
        return Err("at least 100ms".to_owned());
    }
    Ok(interval)
}

/// Parses a duration; a number alone is a number of seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => parse_duration_with_unit(text),
    }
}

/// Parses a duration whose unit is named.
pub(super) fn parse_duration_with_unit(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "not a duration, such as 150ms, 3s or 1m30s".to_owned())?;
    Duration::try_from(duration).map_err(|_| "a duration cannot be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("150ms"), Ok(Duration::from_millis(150)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("3"), Ok(Duration::from_secs(3)));
        for text in ["", "-3", "-3s", "soon"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_observe("2h").is_err());
    }

    #[test]
    fn the_defaults_that_help_names_are_the_thresholds() {
        assert_eq!(parse_duration("3s"), Ok(thresholds::GRACE));
        assert_eq!(parse_observe("150ms"), Ok(thresholds::OBSERVE));
    }
}
