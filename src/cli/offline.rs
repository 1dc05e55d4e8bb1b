//! `--from FILE`: a recording, or text that somebody copied from a terminal.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::look;
use super::text_blind_spots;
use crate::collect::kernel::RecordedKernel;
use crate::collect::sock_diag::retain_ports;
use crate::collect::text::{Text, parse_text};
use crate::correlate::Analysis;
use crate::model::{
    Gap, HolderSource, Host, InodeSet, Namespace, Pid, Reading, Scope, Snapshot, SocketSource,
    TcpState,
};

/// What a file turned out to be.
pub(super) enum Offline {
    /// What `closewait-doctor record` wrote.
    Recording(Box<RecordedKernel>),
    /// Tables of sockets.
    Text(Box<Text>),
}

/// A recording begins with this, as every gzip file does.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Text may be this long; `ss -tanpoie` prints some 600 bytes for a socket.
const LONGEST_TEXT: u64 = 1 << 30;

/// Reads a file, or standard input for `-`.
pub(super) fn read(file: &str) -> Result<Offline> {
    let mut opened = open(file)?;
    let mut start = Vec::new();
    opened
        .by_ref()
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut start)
        .with_context(|| format!("reading {file}"))?;
    let is_recording = start == GZIP_MAGIC;
    let whole = io::Cursor::new(start).chain(opened);
    if is_recording {
        let kernel = RecordedKernel::read_from(whole).with_context(|| format!("reading {file}"))?;
        return Ok(Offline::Recording(Box::new(kernel)));
    }
    let text = read_text(whole).with_context(|| format!("reading {file}"))?;
    Ok(Offline::Text(Box::new(text)))
}

fn open(file: &str) -> Result<Box<dyn Read>> {
    if file == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).with_context(|| format!("opening {file}"))?;
    Ok(Box::new(opened))
}

fn read_text(file: impl Read) -> Result<Text> {
    let mut bytes = Vec::new();
    file.take(LONGEST_TEXT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_TEXT {
        bail!("text of more than 1 GiB");
    }
    Ok(parse_text(&String::from_utf8_lossy(&bytes))?)
}

/// The look that a text stands for.
pub(super) fn snapshot(text: Text, scope: &Scope, grace: Duration) -> Snapshot {
    let mut snapshot = Snapshot {
        namespace: Namespace::named(scope.netns_name()),
        // Nobody copies which machine it was.
        host: Host {
            hostname: String::new(),
            kernel: String::new(),
            machine: String::new(),
        },
        source: SocketSource::Text { whole: text.whole },
        listeners_after: text.sockets.listeners.clone(),
        sockets: text.sockets,
        later: None,
        holder_source: (!text.holders.is_empty()).then_some(HolderSource::Text),
        holders: text.holders,
        holders_complete: Reading::Unknown(Gap::NotShown),
        hidden: None,
        dead: Vec::new(),
        processes: text.processes,
        peers: Vec::new(),
        samples: Vec::new(),
        dropped: None,
        blind_spots: Vec::new(),
        elapsed: Duration::ZERO,
    };
    snapshot.sockets.other_listeners = snapshot.listeners_after.clone();
    snapshot
        .sockets
        .other_listeners
        .retain(|listener| !scope.has_port(listener.local.port()));
    snapshot
        .listeners_after
        .retain(|listener| scope.has_port(listener.local.port()));
    retain_ports(&mut snapshot.sockets, &scope.ports);
    forget_other_holders(&mut snapshot);
    if !scope.pids.is_empty() {
        look::restrict_to_pids(&mut snapshot, &scope.pids);
    }
    let spots = text_blind_spots::of(
        &Analysis::new(&snapshot, grace),
        &text.tables,
        text.odd_lines,
        text.rows_without_state,
    );
    snapshot.blind_spots = spots;
    snapshot
}

/// Keeps who holds a listener or a connection that its peer has closed, as a look at the kernel does.
fn forget_other_holders(snapshot: &mut Snapshot) {
    let sockets = &snapshot.sockets;
    let listeners = sockets
        .listeners
        .iter()
        .filter_map(|listener| listener.inode);
    let closed = sockets
        .connections
        .iter()
        .filter(|connection| connection.state == TcpState::CloseWait)
        .filter_map(|connection| connection.inode);
    let shown: InodeSet = listeners.chain(closed).collect();
    snapshot
        .holders
        .retain(|holder| shown.contains(&holder.inode));
    let holding: HashSet<Pid> = snapshot.holders.iter().map(|holder| holder.pid).collect();
    snapshot.processes.retain(|pid, _| holding.contains(pid));
}
