//! What the fuzz targets share.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Packs the lines of a recording as `record` does, but without compression: that is not ours to test.
pub fn pack(lines: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(lines)
        .and_then(|()| gzip.finish())
        .expect("writing to memory cannot fail")
}
