//! `--from FILE`: a recording, or text that was copied from a terminal.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::collect::kernel::RecordedKernel;
use crate::collect::text::{NoTable, Text, decode, is_binary, parse_text};

/// What a file turned out to be.
pub(super) enum Offline {
    /// What `closewait-doctor record` wrote.
    Recording(Box<RecordedKernel>),
    /// Tables of sockets.
    Text(Box<Text>),
}

/// A recording begins with this, as every gzip file does.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Text may be this long (64 MiB); `ss -tanpoie` prints some 600 bytes for a socket.
const LONGEST_TEXT: u64 = 64 << 20;

/// So much of a file tells whether it is text at all.
const BEGINNING: u64 = 4096;

/// Reads a file, or standard input for `-`.
pub(super) fn read(file: &Path) -> Result<Offline> {
    let mut opened = open(file)?;
    let reading = || format!("reading {}", file.display());
    let mut start = Vec::new();
    opened
        .by_ref()
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut start)
        .with_context(reading)?;
    let is_recording = start == GZIP_MAGIC;
    let whole = io::Cursor::new(start).chain(opened);
    if is_recording {
        let kernel = RecordedKernel::read_from(whole).with_context(reading)?;
        return Ok(Offline::Recording(Box::new(kernel)));
    }
    let text = read_text(whole).with_context(reading)?;
    Ok(Offline::Text(Box::new(text)))
}

fn open(file: &Path) -> Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    Ok(Box::new(opened))
}

fn read_text(mut file: impl Read) -> Result<Text> {
    let mut bytes = Vec::new();
    file.by_ref().take(BEGINNING).read_to_end(&mut bytes)?;
    // A device or a sparse file has no end, and is known by its beginning.
    if is_binary(&bytes) {
        return Err(NoTable::Foreign.into());
    }
    let left = LONGEST_TEXT + 1 - BEGINNING;
    file.take(left).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_TEXT {
        bail!("text of more than 64 MiB; `ss -tanpoie` of 100,000 sockets is no longer");
    }
    Ok(parse_text(&decode(&bytes))?)
}
