//! The file format of a recording: gzip of one JSON object a line.
//!
//! The first line is the [`Header`], then comes a line for each question and its answer in the
//! order they were asked, and last a line that counts them, so that a file that was cut is known
//! to be cut.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::collect::kernel::{
    DescriptorTables, FoundNamespace, HiddenDescriptors, KernelError, LinkHolders, SocketDump,
    UnixSocket, UnlistedSockets,
};
use crate::model::{Host, PortRange, Scope};

/// Names the format and its version; a reader refuses any other.
pub(super) const FORMAT: &str = "closewait-doctor.recording/v1";

/// The first line of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The name and version of the format.
    pub recording: String,
    /// The program's version that wrote it.
    pub tool_version: String,
    /// When the look began (RFC 3339, UTC).
    pub taken_at: String,
    /// The machine.
    pub host: RecordedHost,
    /// What the look was restricted to.
    pub scope: RecordedScope,
    /// How the look was made.
    #[serde(flatten)]
    pub options: RecordedOptions,
    /// Whether addresses and command lines were replaced.
    pub redacted: bool,
}

impl Header {
    /// Describes a recording that is about to be made.
    pub fn new(
        taken_at: String,
        host: &Host,
        scope: &Scope,
        options: RecordedOptions,
        redacted: bool,
    ) -> Self {
        Self {
            recording: FORMAT.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at,
            host: host.into(),
            scope: scope.into(),
            options,
            redacted,
        }
    }
}

/// How a recorded look was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedOptions {
    /// Connections younger than this were left alone.
    pub min_age_ms: u64,
    /// How long suspicious listeners were watched.
    pub observe_ms: u64,
    /// Whether the user asked for that.
    pub observe_asked: bool,
    /// Whether sockets were read from procfs because the user asked for it.
    pub procfs_source: bool,
}

/// The machine of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedHost {
    /// Its node name.
    pub hostname: String,
    /// Its kernel release.
    pub kernel: String,
    /// Its architecture.
    pub machine: String,
}

/// The scope of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedScope {
    /// Ports on either end; empty for all.
    pub ports: Vec<PortRange>,
    /// Addresses that narrow their ports; empty for all.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    /// Processes; empty for all.
    pub pids: Vec<u32>,
    /// Names of processes or units; empty for all.
    #[serde(default)]
    pub names: Vec<String>,
    /// The network namespace as it was named.
    pub netns: Option<String>,
    /// Whether it was every namespace.
    #[serde(default)]
    pub all_netns: bool,
}

impl From<&Host> for RecordedHost {
    fn from(host: &Host) -> Self {
        Self {
            hostname: host.hostname.clone(),
            kernel: host.kernel.clone(),
            machine: host.machine.clone(),
        }
    }
}

impl From<RecordedHost> for Host {
    fn from(host: RecordedHost) -> Self {
        Self {
            hostname: host.hostname,
            kernel: host.kernel,
            machine: host.machine,
        }
    }
}

impl From<&Scope> for RecordedScope {
    fn from(scope: &Scope) -> Self {
        Self {
            ports: scope.ports.clone(),
            addresses: scope.addresses.clone(),
            pids: scope.pids.clone(),
            names: scope.names.clone(),
            netns: scope.netns.clone(),
            all_netns: scope.all_netns,
        }
    }
}

impl From<RecordedScope> for Scope {
    fn from(scope: RecordedScope) -> Self {
        Self {
            ports: scope.ports,
            addresses: scope.addresses,
            pids: scope.pids,
            names: scope.names,
            netns: scope.netns,
            all_netns: scope.all_netns,
        }
    }
}

/// A question and what was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// The namespace that was entered before; none for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    pub ask: Question,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A question, as it is written down and looked up again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    Elapsed,
    Namespaces,
    Enter(String),
    Sockets(SocketDump),
    DescriptorTables,
    HiddenDescriptors,
    UnlistedSockets,
    LinkHolders(BTreeSet<String>),
    UnixSockets,
    Read(String),
    ReadAt(String, u64),
    ReadLink(String),
    ListNumbers(String),
}

impl Question {
    /// Returns whether the answer depends on the network namespace that was entered.
    pub(super) fn depends_on_netns(&self) -> bool {
        match self {
            Self::Sockets(_) | Self::UnixSockets => true,
            Self::Read(path) => path.starts_with("thread-self/net"),
            _ => false,
        }
    }
}

/// The kernel's answer, or its failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Answer(Answer),
    Error(KernelError),
}

/// An answer by its form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Time(Duration),
    Namespaces(Vec<FoundNamespace>),
    Entered,
    Datagrams(Vec<Bytes>),
    Tables(DescriptorTables),
    Hidden(HiddenDescriptors),
    Unlisted(UnlistedSockets),
    Links(LinkHolders),
    UnixSockets(Vec<UnixSocket>),
    Bytes(Bytes),
    Text(String),
    Numbers(Vec<u32>),
}

/// Bytes, written as text where they are text, so that a recording can be read with `zless`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "WrittenBytes", try_from = "WrittenBytes")]
pub(super) struct Bytes(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenBytes {
    Utf8(String),
    Base64(String),
}

impl From<Bytes> for WrittenBytes {
    fn from(bytes: Bytes) -> Self {
        match String::from_utf8(bytes.0) {
            Ok(text) => Self::Utf8(text),
            Err(error) => Self::Base64(BASE64.encode(error.as_bytes())),
        }
    }
}

impl TryFrom<WrittenBytes> for Bytes {
    type Error = base64::DecodeError;

    fn try_from(written: WrittenBytes) -> Result<Self, Self::Error> {
        match written {
            WrittenBytes::Utf8(text) => Ok(Self(text.into_bytes())),
            WrittenBytes::Base64(text) => BASE64.decode(text).map(Self),
        }
    }
}

/// The last line.
#[derive(Debug, Serialize)]
struct End {
    end: usize,
}

/// Why a file could not be read as a recording.
#[derive(Debug)]
pub enum RecordingError {
    /// It is something else.
    Foreign,
    /// It is a recording in a version that this program does not know.
    Version(String),
    /// It ends before its end.
    Truncated,
    /// A line of it makes no sense.
    Corrupt(String),
    /// What it holds needs more memory than is reasonable.
    TooLarge,
    /// The file could not be read.
    Io(io::Error),
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => write!(f, "not a recording made by `closewait-doctor record`"),
            Self::Version(found) => write!(
                f,
                "the recording has the format {found}, this version reads {FORMAT}"
            ),
            Self::Truncated => write!(f, "the recording is cut short; copy or record it again"),
            Self::Corrupt(detail) => write!(f, "the recording is damaged: {detail}"),
            Self::TooLarge => write!(
                f,
                "the recording takes more memory than a recording may (192 MiB); record with --port, which asks for less"
            ),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RecordingError {}

/// Writes a recording.
pub(super) fn write(header: &Header, entries: &[Entry], file: &mut dyn Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(io::BufWriter::new(file), Compression::default());
    write_line(&mut gzip, header)?;
    for entry in entries {
        write_line(&mut gzip, entry)?;
    }
    write_line(&mut gzip, &End { end: entries.len() })?;
    gzip.finish()?.flush()
}

fn write_line(writer: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    writer.write_all(b"\n")
}
