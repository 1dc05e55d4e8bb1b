//! Replaces in a recording what names people, hosts and customers: addresses, command lines,
//! paths, cgroups and the host's name.
//!
//! The replacement is consistent, so that the same findings come out. Loopback and unspecified
//! addresses stay, and so do short process names and what the software is recognised by: a finding
//! without them would be useless.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NetlinkBuffer;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, SOCK_DIAG_BY_FAMILY};

use super::format::{Answer, Bytes, Entry, Header, Outcome, Question};
use super::names::{self, Folders, REDACTED};
use crate::collect::kernel::UnlistedSockets;

/// Where the two addresses lie in `struct inet_diag_msg`.
const ADDRESS_OFFSETS: [usize; 2] = [8, 24];

/// Tables of sockets, which have the same form.
const TABLES: [&str; 4] = ["net/tcp", "net/tcp6", "net/udp", "net/udp6"];

/// The replacements made so far.
#[derive(Default)]
pub(super) struct Redactor {
    addresses: HashMap<IpAddr, IpAddr>,
    cgroups: HashMap<String, String>,
    mounts: HashMap<String, String>,
    folders: Folders,
    /// Where pieces of tables of mappings begin now: by path and place of the recorded piece.
    map_offsets: HashMap<(String, u64), u64>,
}

impl Redactor {
    pub(super) fn redact(&mut self, header: &mut Header, entries: &mut [Entry]) {
        REDACTED.clone_into(&mut header.host.hostname);
        for address in &mut header.scope.addresses {
            address.set_ip(self.replace(address.ip()));
        }
        header.scope.netns = header.scope.netns.take().map(|_| REDACTED.to_owned());
        // First the files that name cgroups, then the questions that contain those names.
        for entry in &mut *entries {
            self.redact_answer(entry);
            self.redact_maps(entry);
        }
        for entry in entries {
            entry.netns = entry.netns.take().map(|path| self.redact_mount(path));
            self.redact_question(&mut entry.ask);
            if let Outcome::Error(error) = &mut entry.outcome
                && error.what.starts_with('/')
            {
                REDACTED.clone_into(&mut error.what);
            }
        }
    }

    /// Where a namespace is bound names it; below procfs it is a process's.
    fn redact_mount(&mut self, path: String) -> String {
        if !path.starts_with('/') {
            return path;
        }
        let next = format!("/{REDACTED}-{}", self.mounts.len() + 1);
        self.mounts.entry(path).or_insert(next).clone()
    }

    fn redact_question(&mut self, ask: &mut Question) {
        if let Question::Enter(path) = ask {
            *path = self.redact_mount(std::mem::take(path));
        }
        if let Question::LinkHolders(targets) = ask {
            *targets = targets
                .iter()
                .map(|target| self.folders.redact_target(target))
                .collect();
        }
        let Question::Read(path) = ask else { return };
        // The deepest group first: a path contains those of its parents.
        let name = self
            .cgroups
            .iter()
            .filter(|(group, _)| path.contains(&format!("{group}/")))
            .max_by_key(|(group, _)| group.len());
        if let Some((group, replacement)) = name
            && path.starts_with("/sys/fs/cgroup")
        {
            *path = path.replace(&format!("{group}/"), &format!("{replacement}/"));
        }
    }

    fn redact_answer(&mut self, entry: &mut Entry) {
        let Outcome::Answer(answer) = &mut entry.outcome else {
            return;
        };
        match (&entry.ask, answer) {
            (Question::Sockets(_), Answer::Datagrams(datagrams)) => {
                for datagram in datagrams {
                    self.redact_datagram(&mut datagram.0);
                }
            }
            (Question::Namespaces, Answer::Namespaces(namespaces)) => {
                for namespace in namespaces {
                    namespace.path = self.redact_mount(std::mem::take(&mut namespace.path));
                    namespace.names.clear();
                }
            }
            (Question::Read(path), Answer::Bytes(Bytes(bytes))) => self.redact_file(path, bytes),
            (Question::UnlistedSockets, Answer::Unlisted(unlisted)) => {
                self.redact_ends(unlisted);
            }
            (Question::LinkHolders(_), Answer::Links(links)) => {
                for holder in &mut links.holders {
                    holder.target = self.folders.redact_target(&holder.target);
                }
            }
            (Question::UnixSockets, Answer::UnixSockets(sockets)) => {
                for name in sockets.iter_mut().filter_map(|socket| socket.name.as_mut()) {
                    REDACTED.clone_into(name);
                }
            }
            (Question::ReadLink(_), Answer::Text(target)) => {
                *target = self.folders.redact_target(target);
            }
            _ => {}
        }
    }

    /// Redacts a piece of a table of mappings, which becomes shorter: the next piece is asked for where it ends.
    fn redact_maps(&mut self, entry: &mut Entry) {
        let Question::ReadAt(path, offset) = &mut entry.ask else {
            return;
        };
        if !path.ends_with("/maps") {
            return;
        }
        let recorded = *offset;
        let moved = self.map_offsets.get(&(path.clone(), recorded));
        *offset = moved.copied().unwrap_or(recorded);
        if let Outcome::Answer(Answer::Bytes(Bytes(bytes))) = &mut entry.outcome {
            let next = recorded + bytes.len() as u64;
            *bytes = names::redact_maps(bytes);
            let moved = *offset + bytes.len() as u64;
            self.map_offsets.insert((path.clone(), next), moved);
        }
    }

    fn redact_ends(&mut self, unlisted: &mut UnlistedSockets) {
        let tables = unlisted.tables.iter_mut();
        for socket in tables.flat_map(|table| &mut table.sockets) {
            if let Some(local) = socket.ends.as_mut().and_then(|ends| ends.local.as_mut()) {
                local.set_ip(self.replace(local.ip()));
            }
        }
    }

    fn redact_file(&mut self, path: &str, bytes: &mut Vec<u8>) {
        if path.ends_with("/cmdline") {
            *bytes = names::redact_command_line(bytes);
        } else if path.ends_with("/cgroup") {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<String> = text.lines().map(|line| self.redact_cgroup(line)).collect();
            *bytes = lines.join("\n").into_bytes();
        } else if TABLES.iter().any(|table| path.ends_with(table)) {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<String> = text.lines().map(|line| self.redact_row(line)).collect();
            *bytes = lines.join("\n").into_bytes();
        }
    }

    /// A line of `/proc/PID/cgroup`: `hierarchy:controllers:path`.
    fn redact_cgroup(&mut self, line: &str) -> String {
        let mut parts = line.splitn(3, ':');
        let (Some(hierarchy), Some(controllers), Some(group)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return REDACTED.to_owned();
        };
        if group == "/" {
            return line.to_owned();
        }
        let next = format!("/{REDACTED}-{}", self.cgroups.len() + 1);
        let replacement = self.cgroups.entry(group.to_owned()).or_insert(next);
        format!("{hierarchy}:{controllers}:{replacement}")
    }

    /// A row of `/proc/net/tcp`: addresses are words of the machine's byte order in hexadecimal.
    fn redact_row(&mut self, line: &str) -> String {
        line.split(' ')
            .map(|word| {
                self.redact_hex_address(word)
                    .unwrap_or_else(|| word.to_owned())
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn redact_hex_address(&mut self, word: &str) -> Option<String> {
        let (address, port) = word.split_once(':')?;
        // Only addresses are followed by a port of four digits; queues are followed by eight.
        if port.len() != 4 {
            return None;
        }
        let bytes = decode_words(address)?;
        let address = match bytes.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        };
        let hex = match self.replace(address) {
            IpAddr::V4(v4) => encode_words(&v4.octets()),
            IpAddr::V6(v6) => encode_words(&v6.octets()),
        };
        Some(format!("{hex}:{port}"))
    }

    fn redact_datagram(&mut self, datagram: &mut [u8]) {
        let mut start = 0;
        while let Ok(message) = NetlinkBuffer::new_checked(&datagram[start..]) {
            let length = message.length() as usize;
            let is_socket = message.message_type() == SOCK_DIAG_BY_FAMILY;
            let end = start + length;
            if is_socket && length > 16 {
                self.redact_message(&mut datagram[start + 16..end]);
            }
            start = (start + length.next_multiple_of(4)).min(datagram.len());
        }
    }

    fn redact_message(&mut self, message: &mut [u8]) {
        let family = message[0];
        for offset in ADDRESS_OFFSETS {
            let Some(field) = message.get_mut(offset..offset + 16) else {
                return;
            };
            if family == AF_INET {
                let old: [u8; 4] = field[..4].try_into().expect("the slice has 4 bytes");
                if let IpAddr::V4(new) = self.replace(IpAddr::from(old)) {
                    field[..4].copy_from_slice(&new.octets());
                }
            } else if family == AF_INET6 {
                let old: [u8; 16] = (&*field).try_into().expect("the slice has 16 bytes");
                if let IpAddr::V6(new) = self.replace(IpAddr::from(old)) {
                    field.copy_from_slice(&new.octets());
                }
            }
        }
    }

    /// Gives an address its replacement of the same family, from ranges that are not in use.
    fn replace(&mut self, address: IpAddr) -> IpAddr {
        if address.is_unspecified() || address.is_loopback() {
            return address;
        }
        if let IpAddr::V6(v6) = address
            && let Some(v4) = v6.to_ipv4_mapped()
        {
            return match self.replace(IpAddr::V4(v4)) {
                IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
                v6 @ IpAddr::V6(_) => v6,
            };
        }
        let number = u32::try_from(self.addresses.len() + 1).unwrap_or(u32::MAX);
        *self
            .addresses
            .entry(address)
            .or_insert_with(|| match address {
                // 198.18.0.0/15 is reserved for benchmarks (RFC 2544).
                IpAddr::V4(_) => Ipv4Addr::from_bits(0xc612_0000 | (number & 0x1_ffff)).into(),
                // 2001:db8::/32 is reserved for documentation (RFC 3849).
                IpAddr::V6(_) => {
                    Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(number)).into()
                }
            })
    }
}

fn decode_words(hex: &str) -> Option<Vec<u8>> {
    if !matches!(hex.len(), 8 | 32) || !hex.is_ascii() {
        return None;
    }
    let mut bytes = Vec::with_capacity(16);
    for start in (0..hex.len()).step_by(8) {
        let word = u32::from_str_radix(&hex[start..start + 8], 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    Some(bytes)
}

fn encode_words(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for word in bytes.chunks_exact(4) {
        let word = u32::from_ne_bytes(word.try_into().expect("the chunk has 4 bytes"));
        write!(hex, "{word:08X}").expect("writing to a string cannot fail");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_replaced_alike_wherever_it_stands() {
        let mut redactor = Redactor::default();
        let v4: IpAddr = "203.0.113.7".parse().unwrap();
        let mapped: IpAddr = "::ffff:203.0.113.7".parse().unwrap();
        let IpAddr::V4(new) = redactor.replace(v4) else {
            panic!("the family must stay");
        };
        assert_ne!(IpAddr::V4(new), v4);
        assert_eq!(redactor.replace(mapped), IpAddr::V6(new.to_ipv6_mapped()));
        let row = "0: 077100CB:1F90 00000000:0000 0A 00000000:00000000";
        let words: Vec<u8> = decode_words(&redactor.redact_row(row)[3..11]).unwrap();
        assert_eq!(words, new.octets());
    }

    #[test]
    fn loopback_and_unspecified_addresses_stay() {
        let mut redactor = Redactor::default();
        for address in ["127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(redactor.replace(address), address);
        }
    }

    fn piece(offset: u64, text: &str) -> Entry {
        Entry {
            netns: None,
            ask: Question::ReadAt("7/maps".to_owned(), offset),
            outcome: Outcome::Answer(Answer::Bytes(Bytes(text.as_bytes().to_vec()))),
        }
    }

    #[test]
    fn pieces_of_a_table_of_mappings_still_follow_one_another() {
        let line = "7f00-7f01 r-xp 00000000 fe:00 42    /opt/acme/lib/gevent/_queue.so\n";
        let anonymous = "7f01-7f02 rw-p 00000000 00:00 0 \n";
        let at = |pieces: usize| (line.len() + pieces * anonymous.len()) as u64;
        let mut pieces = [
            piece(0, line),
            piece(at(0), anonymous),
            piece(at(1), anonymous),
            piece(at(2), ""),
        ];
        let mut redactor = Redactor::default();
        let mut expected = 0;
        for entry in &mut pieces {
            redactor.redact_maps(entry);
            let Outcome::Answer(Answer::Bytes(Bytes(bytes))) = &entry.outcome else {
                panic!("an answer stays one");
            };
            assert_eq!(entry.ask, Question::ReadAt("7/maps".to_owned(), expected));
            assert!(!String::from_utf8_lossy(bytes).contains("acme"));
            expected += bytes.len() as u64;
        }
        // Only an empty piece is the end.
        let empty =
            |entry: &&Entry| entry.outcome == Outcome::Answer(Answer::Bytes(Bytes(Vec::new())));
        assert_eq!(pieces.iter().filter(empty).count(), 1);
    }
}
