//! What a probe sends: text with escapes, or the content of a file.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// The largest payload, in bytes.
pub const PAYLOAD_LIMIT: usize = 64 * 1024;

/// Why there is no payload.
#[derive(Debug)]
pub enum PayloadError {
    /// It is larger than [`PAYLOAD_LIMIT`].
    TooLarge,
    /// It is not an ordinary file: reading it may never end.
    NotAFile,
    /// The file cannot be read.
    Unreadable(io::Error),
    /// A backslash is followed by something that is no escape.
    UnknownEscape(String),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "larger than {PAYLOAD_LIMIT} bytes"),
            Self::NotAFile => f.write_str("not an ordinary file"),
            Self::Unreadable(error) => error.fmt(f),
            Self::UnknownEscape(escape) => write!(
                f,
                "unknown escape {escape} (known: \\r \\n \\t \\0 \\\\ \\xHH)"
            ),
        }
    }
}

impl std::error::Error for PayloadError {}

impl From<Errno> for PayloadError {
    fn from(error: Errno) -> Self {
        Self::Unreadable(error.into())
    }
}

/// Parses text with the escapes `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH`.
///
/// # Errors
///
/// When an escape is unknown, or the result is too large.
pub fn parse_text(text: &str) -> Result<Vec<u8>, PayloadError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\\') {
        bytes.extend(rest[..start].bytes());
        let escape = &rest[start + 1..];
        let (byte, length) = parse_escape(escape).ok_or_else(|| {
            let shown: String = escape.chars().take(3).collect();
            PayloadError::UnknownEscape(format!("\\{shown}"))
        })?;
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend(rest.bytes());
    if bytes.len() > PAYLOAD_LIMIT {
        return Err(PayloadError::TooLarge);
    }
    Ok(bytes)
}

/// Returns the byte that an escape stands for, and how long the escape is after its backslash.
fn parse_escape(escape: &str) -> Option<(u8, usize)> {
    let byte = match escape.bytes().next()? {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'0' => 0,
        b'\\' => b'\\',
        b'x' => {
            let digits = escape.get(1..3)?;
            let all_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            return all_hexadecimal.then_some((u8::from_str_radix(digits, 16).ok()?, 3));
        }
        _ => return None,
    };
    Some((byte, 1))
}

/// Reads a payload from an ordinary file.
///
/// # Errors
///
/// When it is something else, cannot be read, or is too large.
pub fn read_payload(path: &Path) -> Result<Vec<u8>, PayloadError> {
    // Opening a fifo would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(PayloadError::NotAFile);
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(PAYLOAD_LIMIT).unwrap_or(u64::MAX) + 1;
    let mut limited = io::Read::take(std::fs::File::from(file), limit);
    io::Read::read_to_end(&mut limited, &mut bytes).map_err(PayloadError::Unreadable)?;
    if bytes.len() > PAYLOAD_LIMIT {
        return Err(PayloadError::TooLarge);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_stand_for_their_bytes() {
        let parsed = parse_text(r"GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(parsed, b"GET / HTTP/1.0\r\n\r\n");
        assert_eq!(
            parse_text(r"\x00\xfF\\é\0").unwrap(),
            b"\x00\xff\\\xc3\xa9\0"
        );
        assert_eq!(parse_text("").unwrap(), b"");
    }

    #[test]
    fn an_unknown_escape_is_named() {
        for text in [r"\q", r"\", r"\x4", r"\xé", r"\x+1"] {
            let error = parse_text(text).unwrap_err();
            assert!(
                matches!(error, PayloadError::UnknownEscape(_)),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_payload_has_a_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'x'; PAYLOAD_LIMIT]).unwrap();
        assert_eq!(read_payload(file.path()).unwrap().len(), PAYLOAD_LIMIT);
        std::fs::write(file.path(), vec![b'x'; PAYLOAD_LIMIT + 1]).unwrap();
        assert!(matches!(
            read_payload(file.path()),
            Err(PayloadError::TooLarge)
        ));
        assert!(matches!(
            parse_text(&"x".repeat(PAYLOAD_LIMIT + 1)),
            Err(PayloadError::TooLarge)
        ));
    }

    #[test]
    fn what_is_no_ordinary_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
        for path in [fifo.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert!(
                matches!(read_payload(path), Err(PayloadError::NotAFile)),
                "{}",
                path.display()
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), tail in "\\\\x?.{0,3}") {
            let _ = parse_text(&text);
            let _ = parse_text(&tail);
        }
    }
}
