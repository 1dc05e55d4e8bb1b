//! What a text without a table that can be read is, so that it is refused by its right name.

use super::answer::NoTable;
use super::endpoint::parse_endpoint;
use super::lsof;
use super::netstat::is_protocol;
use super::state::{parse_state, speaks_of_close_wait};

/// Names what the lines of a text are; nothing where they are about something else.
pub(super) fn what(lines: &[&str]) -> Option<NoTable> {
    let any = |is: fn(&str) -> bool| lines.iter().any(|line| is(line));
    let system = SYSTEMS.iter().find(|(_, is)| any(*is));
    if let Some((name, _)) = system {
        return Some(NoTable::OtherSystem(name));
    }
    if any(is_count) || (any(speaks_of_close_wait) && any(is_counted_name)) {
        return Some(NoTable::Counts);
    }
    if any(is_unix_socket) {
        return Some(NoTable::UnixSockets);
    }
    if any(is_lsof_header) {
        return Some(NoTable::LsofWithoutTcp);
    }
    None
}

/// Returns whether a line is of a kind.
type Test = fn(&str) -> bool;

/// Systems and the marks of each; the first that fits is taken.
const SYSTEMS: [(&str, Test); 3] = [
    ("Solaris or illumos", is_solaris),
    ("macOS, BSD, AIX or HP-UX", is_bsd),
    ("Windows", is_windows),
];

fn is_solaris(line: &str) -> bool {
    line.contains("Swind") && line.contains("Rwind") || line.trim() == "TCP: IPv4"
}

/// The port stands behind a dot: `10.0.0.1.80`, `*.80`.
fn is_bsd(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let dotted = words.iter().filter(|word| has_dotted_port(word)).count();
    let protocol = words.first().is_some_and(|word| is_protocol(word));
    let sockstat = line.contains("FOREIGN ADDRESS") && line.contains("COMMAND");
    (protocol && dotted >= 1)
        || (dotted >= 2 && words.iter().any(|word| parse_state(word).is_some()))
        || line.contains("rhiwat")
        || line.contains("PCB/ADDR")
        || line.contains("qlen/incqlen/maxqlen")
        || sockstat
        || lsof::is_of_another_system(line)
}

fn has_dotted_port(word: &str) -> bool {
    let Some((host, port)) = word.rsplit_once('.') else {
        return false;
    };
    let is_port = port == "*" || port.parse::<u16>().is_ok();
    let is_host = host == "*" || host.parse::<std::net::IpAddr>().is_ok();
    is_port && is_host
}

/// `TCP    10.0.0.1:80    10.0.0.2:5    CLOSE_WAIT    972`: no queues.
fn is_windows(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let row = matches!(words[..], ["TCP", local, remote, ..]
        if parse_endpoint(local).is_some() && parse_endpoint(remote).is_some());
    let list = line.starts_with("LocalPort") && line.contains(" : ");
    let powershell = list || (line.contains("LocalPort") && line.contains("RemotePort"));
    row || powershell || words == ["Active", "Connections"] || line.contains("活动连接")
}

/// `41 CLOSE_WAIT`, `CLOSE_WAIT: 41`, `TCP: 12 (estab 3, closed 1`, or a number alone.
fn is_count(line: &str) -> bool {
    let is_number = |word: &str| {
        let word = word.trim_matches([':', ',', '=', '(', ')', '"', '}', '{']);
        !word.is_empty() && word.parse::<u64>().is_ok()
    };
    let words: Vec<&str> = line
        .split([' ', '\t', '=', ',', ':'])
        .filter(|word| !word.is_empty() && !is_share(word))
        .collect();
    let of_states = words.len() >= 2
        && words.chunks(2).all(|pair| {
            matches!(pair, [one, other] if (is_number(one) && parse_state(other).is_some())
                || (parse_state(one).is_some() && is_number(other)))
        });
    if of_states || is_counted(line) {
        return true;
    }
    match words[..] {
        [one] => is_number(one),
        [one, other] => is_number(one) && other.parse::<std::net::IpAddr>().is_ok(),
        ["TCP", "inuse", total, ..] | ["sockets", "used", total, ..] | ["Total", total, ..] => {
            is_number(total)
        }
        ["TCP", total, ..] => is_number(total) && line.contains("estab"),
        [count, "tcp" | "tcp6", state] | [count, state, "tcp" | "tcp6"] => {
            is_number(count) && parse_state(state).is_some()
        }
        _ => false,
    }
}

/// `(92%)`.
fn is_share(word: &str) -> bool {
    word.trim_matches(['(', ')']).ends_with('%')
}

/// What `uniq -c` prints of addresses or processes: `655 10.0.0.9:443`, `655 4120/java`.
fn is_counted(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [number, thing] = words[..] else {
        return false;
    };
    let is_process = thing
        .split_once('/')
        .is_some_and(|(pid, _)| pid.parse::<u32>().is_ok());
    number.parse::<u64>().is_ok() && (parse_endpoint(thing).is_some() || is_process)
}

/// `655 java`, which means something only where the text is about such connections.
fn is_counted_name(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [number, name]
        if number.parse::<u64>().is_ok() && name.starts_with(char::is_alphabetic))
}

fn is_unix_socket(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or("");
    matches!(first, "u_str" | "u_dgr" | "u_seq" | "unix") || line.contains("UNIX domain sockets")
}

fn is_lsof_header(line: &str) -> bool {
    line.starts_with("COMMAND") && line.ends_with("NAME")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_called_by_its_name() {
        let system = |name| Some(NoTable::OtherSystem(name));
        for (line, expected) in [
            (
                "tcp4  0  0  10.0.0.1.24445  198.51.100.35.443  CLOSE_WAIT",
                system(SYSTEMS[1].0),
            ),
            ("*.8080  *.*  0  0 49152  0 LISTEN", system(SYSTEMS[1].0)),
            (
                "   Local Address   Remote Address  Swind Send-Q Rwind Recv-Q  State",
                system(SYSTEMS[0].0),
            ),
            (
                "TCP    127.0.0.1:1080   127.0.0.1:56329   CLOSE_WAIT   6176",
                system("Windows"),
            ),
            (
                "LocalAddress LocalPort RemoteAddress RemotePort State",
                system("Windows"),
            ),
            ("    655 CLOSE_WAIT", Some(NoTable::Counts)),
            ("CLOSE_WAIT 655", Some(NoTable::Counts)),
            (
                "TCP:   12 (estab 3, closed 1, orphaned 0, timewait 1)",
                Some(NoTable::Counts),
            ),
            ("655", Some(NoTable::Counts)),
            (
                "u_str LISTEN 129 128 /run/app.sock 43023 * 0",
                Some(NoTable::UnixSockets),
            ),
            (
                "COMMAND  PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME",
                Some(NoTable::LsofWithoutTcp),
            ),
            ("hello", None),
        ] {
            assert_eq!(what(&[line]), expected, "{line}");
        }
    }
}
