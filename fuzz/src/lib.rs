//! What the fuzz targets share.

use std::io::{Read, Write};
use std::sync::OnceLock;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

/// Packs the lines of a recording as `record` does, but without compression: that is not ours to test.
pub fn pack(lines: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(lines)
        .and_then(|()| gzip.finish())
        .expect("writing to memory cannot fail")
}

/// A recording, taken apart.
pub struct Recording {
    /// Its first line.
    pub header: Value,
    /// The questions with their answers; the last line, which counts them, is left out.
    pub entries: Vec<Value>,
}

/// Recordings of real conditions, one for each way through the analysis.
pub fn recordings() -> &'static [Recording] {
    static RECORDINGS: OnceLock<Vec<Recording>> = OnceLock::new();
    RECORDINGS.get_or_init(|| FILES.iter().map(|file| unpack(file)).collect())
}

macro_rules! recording {
    ($finding:literal) => {
        include_bytes!(concat!("../../tests/recordings/", $finding, "/sick.rec"))
    };
}

const FILES: &[&[u8]] = &[
    recording!("accept-queue-overflow"),
    recording!("accept-queue-stranded"),
    recording!("accepted-unserved"),
    recording!("acceptor-busy"),
    recording!("acceptor-stopped"),
    recording!("dead-descriptor"),
    recording!("edge-triggered-stall"),
    recording!("fd-limit-reached"),
    recording!("half-closed-active"),
    recording!("idle-pool-connection"),
    recording!("inherited-descriptor"),
    recording!("listener-unwatched"),
    recording!("peer-not-closing"),
    recording!("relay-pair"),
    recording!("stuck-writer"),
    recording!("unattributed-close-wait"),
    recording!("unclosed-after-eof"),
    recording!("unread-eof"),
];

fn unpack(file: &[u8]) -> Recording {
    let mut text = String::new();
    GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the recordings of the tests are whole");
    let mut lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("their lines are JSON"));
    let header = lines.next().expect("they have a first line");
    let mut entries: Vec<Value> = lines.collect();
    entries.pop();
    Recording { header, entries }
}
