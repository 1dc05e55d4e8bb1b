//! Rows of `lsof` about TCP sockets, and its output for programs (`-F`). It shows descriptors and
//! states, and no queues.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::endpoint::{Endpoint, parse_endpoint};
use super::row::{Columns, Details, Owner, Row, mapped};
use super::state::parse_state;
use crate::model::TcpState;

/// Reads a row: `COMMAND PID [TID] USER FD TYPE DEVICE SIZE/OFF NODE NAME (STATE)`.
///
/// The inner result is an error where it begins like a row and cannot be read.
pub(super) fn recognise(line: &str) -> Option<Result<Row, ()>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let kind = words
        .windows(2)
        .position(|pair| is_socket(pair[0], pair[1]))?;
    let node = words[kind..].iter().position(|word| *word == "TCP")? + kind;
    Some(row(&words, kind, node).ok_or(()))
}

/// Returns whether two columns are those of a descriptor of an internet socket.
pub(super) fn is_socket(descriptor: &str, kind: &str) -> bool {
    is_descriptor(descriptor) && matches!(kind, "IPv4" | "IPv6")
}

/// Returns whether a line is about an open file of any kind.
pub(super) fn is_file(line: &str) -> bool {
    const KINDS: [&str; 11] = [
        "REG", "DIR", "CHR", "BLK", "FIFO", "IPv4", "IPv6", "unix", "a_inode", "sock", "netlink",
    ];
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).skip(2).any(|pair| {
        let is_place = matches!(pair[0], "cwd" | "rtd" | "txt" | "mem" | "DEL");
        KINDS.contains(&pair[1]) && (is_place || is_descriptor(pair[0]))
    })
}

/// Returns whether a line is the field of `lsof -F` with both addresses of a connection.
pub(super) fn is_name_field(line: &str) -> bool {
    let name = line.strip_prefix('n');
    let addresses = name.and_then(|name| name.split_once("->"));
    addresses.is_some_and(|(local, remote)| {
        parse_endpoint(local).is_some() && parse_endpoint(remote).is_some()
    })
}

/// Returns whether a row was printed by macOS or a BSD, where a device is an address of the kernel.
pub(super) fn is_of_another_system(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let kind = words
        .iter()
        .position(|word| matches!(*word, "IPv4" | "IPv6"));
    let device = kind.and_then(|kind| words.get(kind + 1));
    device.is_some_and(|device| device.starts_with("0x")) && words.contains(&"TCP")
}

/// `3u`, `12r`, `7uW`, `100w`.
fn is_descriptor(word: &str) -> bool {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && word.len() - digits <= 2 && word[digits..].chars().all(char::is_alphabetic)
}

fn row(words: &[&str], kind: usize, node: usize) -> Option<Row> {
    let (command, pid) = owner(&words[..kind])?;
    let owner = Owner {
        pid,
        fd: descriptor(words[kind]),
        command: command.to_owned(),
    };
    let inode = words.get(kind + 2).and_then(|device| device.parse().ok());
    let state = words.get(node + 2).and_then(|word| state(word))?;
    socket(
        words.get(node + 1)?,
        state,
        inode,
        owner,
        words[kind + 1] == "IPv6",
    )
}

/// The command and the process before the descriptor: `COMMAND PID [PGID] [PPID] [TID [TASKCMD]] [USER]`,
/// perhaps behind what a log or `cat -n` put in front.
fn owner<'a>(before: &[&'a str]) -> Option<(&'a str, u32)> {
    const MOST_NAMES: usize = 2;
    let number = |word: &&str| word.parse::<u32>().ok();
    // The user may be a number, too. Behind numbers of processes stands a thread's name, or none.
    let without_user = before.len().checked_sub(1)?;
    let end = (without_user.saturating_sub(MOST_NAMES)..=without_user)
        .rev()
        .find(|end| before[..*end].last().and_then(number).is_some())
        .unwrap_or(before.len());
    let numbers = before[..end]
        .iter()
        .rev()
        .take_while(|word| number(word).is_some());
    let pid_at = end.checked_sub(numbers.count())?;
    let pid = before.get(pid_at).and_then(number)?;
    let command = before[..pid_at].last()?;
    Some((without_prefix(command), pid))
}

/// Takes off what `grep` or a log put before a name without a blank, and marks.
fn without_prefix(command: &str) -> &str {
    let bare = command.trim_start_matches(['+', '*', '~', '_', '"', '\'', '`']);
    match bare.rsplit_once(':') {
        Some((_, name)) if name.starts_with(char::is_alphabetic) => name,
        _ if bare.is_empty() => command,
        _ => bare,
    }
}

/// `(CLOSE_WAIT)`, perhaps with queues behind it.
fn state(word: &str) -> Option<TcpState> {
    let name = word.split_once(')').map_or(word, |(name, _)| name);
    parse_state(name)
}

fn descriptor(word: &str) -> Option<u32> {
    word.trim_end_matches(char::is_alphabetic).parse().ok()
}

/// `10.0.0.1:80->10.0.0.2:5`, or `*:80` of a listener.
fn socket(
    name: &str,
    state: TcpState,
    inode: Option<u32>,
    owner: Owner,
    ipv6: bool,
) -> Option<Row> {
    let (local, remote) = name.split_once("->").unwrap_or((name, "*:*"));
    let (local, remote) = (of_family(local, ipv6)?, of_family(remote, ipv6)?);
    let columns = Columns {
        state,
        queues: None,
        local,
        remote,
    };
    let details = Details {
        inode,
        owners: vec![owner],
        ..Details::none()
    };
    Some(Row::new(columns, details))
}

/// An address as the kernel has it: an IPv4 client of an IPv6 socket, and `*`, in its family.
fn of_family(text: &str, ipv6: bool) -> Option<Endpoint> {
    let mut endpoint = parse_endpoint(text)?;
    endpoint.host = Some(match endpoint.host {
        Some(host) if ipv6 => mapped(host),
        Some(host) => host,
        None if ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        None => Ipv4Addr::UNSPECIFIED.into(),
    });
    Some(endpoint)
}

/// What a line is to `lsof -F`.
pub(super) enum Field {
    /// No field.
    Other,
    /// A field of the socket at hand.
    Taken,
    /// The first field of the next, which ends this one.
    Ends(Box<Row>),
}

/// What `lsof -F` has printed so far: a field a line, the first letter names it.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pid: Option<u32>,
    command: String,
    fd: Option<u32>,
    inode: Option<u32>,
    name: Option<String>,
    state: Option<TcpState>,
    is_tcp: bool,
    ipv6: bool,
}

impl Field {
    fn ended_by(row: Option<Row>) -> Self {
        row.map_or(Self::Taken, |row| Self::Ends(Box::new(row)))
    }
}

impl Fields {
    /// Takes a line.
    pub(super) fn take(&mut self, line: &str) -> Field {
        let Some(value) = line.get(1..) else {
            return Field::Other;
        };
        let number = value.parse::<u32>().ok();
        match line.as_bytes()[0] {
            b'p' => {
                let Some(pid) = number else {
                    return Field::Other;
                };
                let row = self.finish();
                *self = Self {
                    pid: Some(pid),
                    ..Self::default()
                };
                return Field::ended_by(row);
            }
            _ if self.pid.is_none()
                || line.contains(char::is_whitespace) && !line.starts_with(['c', 'n']) =>
            {
                return Field::Other;
            }
            b'c' => value.clone_into(&mut self.command),
            b'f' => {
                let row = self.finish();
                self.fd = descriptor(value);
                return Field::ended_by(row);
            }
            b't' => self.ipv6 = value == "IPv6",
            b'd' => self.inode = number,
            b'P' => self.is_tcp = value == "TCP",
            b'n' => self.name = Some(value.to_owned()),
            b'T' => {
                if let Some(state) = value.strip_prefix("ST=") {
                    self.state = parse_state(state);
                }
            }
            b'a' | b'D' | b'G' | b'g' | b'i' | b'k' | b'K' | b'L' | b'l' | b'N' | b'o' | b'R'
            | b's' | b'u' | b'r' => {}
            _ => return Field::Other,
        }
        Field::Taken
    }

    /// The socket of the last descriptor.
    pub(super) fn finish(&mut self) -> Option<Row> {
        let pid = self.pid?;
        let (fd, inode) = (self.fd.take(), self.inode.take());
        let (name, state) = (self.name.take(), self.state.take());
        let ipv6 = std::mem::take(&mut self.ipv6);
        let is_tcp = std::mem::take(&mut self.is_tcp);
        if !is_tcp {
            return None;
        }
        let owner = Owner {
            pid,
            fd,
            command: self.command.clone(),
        };
        socket(&name?, state?, inode, owner, ipv6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_tcp_sockets_are_read_and_files_are_not_rows() {
        let read = |line| recognise(line).map(|row| row.is_ok());
        for row in [
            "web 77 root 3u IPv4 350540 0t0 TCP *:http-alt (LISTEN)",
            "web 77 root 9u IPv6 350541 0t0 TCP 10.0.0.1:8080->10.0.0.2:5 (CLOSE_WAIT)",
            "web 77 78 worker root 9u IPv6 350541 0t0 TCP [2001:db8::1]:80->[2001:db8::2]:5 (ESTABLISHED)",
        ] {
            assert_eq!(read(row), Some(true), "{row}");
        }
        assert_eq!(
            read("web 77 root 9u IPv4 350541 0t0 TCP 10.0.0.1:8080->10.0"),
            Some(false)
        );
        assert_eq!(read("web 77 root 1w REG 254,0 8 10027068 /srv/TCP"), None);
        assert_eq!(read("web 77 root 9u IPv4 350541 0t0 UDP *:53"), None);
    }

    #[test]
    fn fields_for_programs_are_read() {
        let mut fields = Fields::default();
        let text = "p77\ncweb\nf3\ntIPv4\nd500\nPTCP\nn10.0.0.1:80->10.0.0.2:5\nTST=CLOSE_WAIT\nTQR=0\nf4\ntREG\nn/x";
        let mut rows = Vec::new();
        for line in text.lines() {
            match fields.take(line) {
                Field::Ends(row) => rows.push(row),
                Field::Taken => {}
                Field::Other => panic!("{line}"),
            }
        }
        assert_eq!(rows.len(), 1);
        assert!(rows[0].is_in(TcpState::CloseWait));
        assert_eq!(rows[0].owners[0].fd, Some(3));
    }
}
