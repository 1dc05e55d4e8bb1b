//! `/proc/PID/stat` and `/proc/PID/task/TID/stat`.

use crate::model::{Pid, RunState};

/// The fields of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The task's name; invalid UTF-8 replaced.
    pub command: String,
    /// Its state letter.
    pub state: RunState,
    /// Its parent process.
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// When it started, in clock ticks since the machine did; unknown in a line that was cut.
    pub started_ticks: Option<u64>,
}

/// Parses the file.
///
/// The name stands in parentheses and may itself contain parentheses, blanks and newlines: it ends
/// at the last closing one.
pub fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|byte| *byte == b'(')?;
    let close = bytes.iter().rposition(|byte| *byte == b')')?;
    let command = bytes.get(open + 1..close)?;
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some(Stat {
        command: String::from_utf8_lossy(command).into_owned(),
        state: RunState::from_letter(state),
        parent: fields.next()?.parse().ok()?,
        group: number(fields.next()),
        session: number(fields.next()),
        // starttime is field 22; the state is field 3, and three more were taken.
        started_ticks: fields.nth(15).and_then(|ticks| ticks.parse().ok()),
    })
}

/// A process of another pid namespace may have a group and a session that are not shown: 0.
fn number(field: Option<&str>) -> Pid {
    field.and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let stat = parse_stat(b"42 (a) R 1 (b\n) S 7 42 42 0 -1 419\n").unwrap();
        assert_eq!(stat.command, "a) R 1 (b\n");
        assert_eq!(stat.state, RunState::Sleeping);
        assert_eq!(stat.parent, 7);
    }

    #[test]
    fn a_name_that_is_cut_within_a_character_is_kept() {
        let stat = parse_stat(b"42 (caf\xc3) T 1 ").unwrap();
        assert_eq!(stat.command, "caf\u{fffd}");
        assert_eq!(stat.state, RunState::Stopped);
    }

    #[test]
    fn what_is_no_stat_file_gives_nothing() {
        for text in [
            &b""[..],
            b")(",
            b"42 (name)",
            b"42 (name) S",
            b"42 (name) S x",
        ] {
            assert_eq!(parse_stat(text), None, "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_stat(&bytes);
        }
    }
}
