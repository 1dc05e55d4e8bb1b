//! Where and when a table was taken, by the prompt, the command or a line between tables.

use super::command::{after_prompt, is_tool};

/// Where and when a table was taken, as far as the text tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The host that the prompt names.
    host: Option<String>,
    /// The container, namespace or host that a command ran in.
    pub within: Option<String>,
    /// Counts times that the text tells.
    pub moment: usize,
}

impl Place {
    /// Takes a line that stands between tables.
    pub(super) fn read(&mut self, line: &str) {
        if has_time(line) {
            self.moment += 1;
        }
        if let Some(name) = separator(line) {
            self.within = Some(name.to_owned());
        }
    }

    /// Takes a line that runs a command.
    pub(super) fn run(&mut self, line: &str) {
        if let Some(host) = host_of_prompt(line) {
            self.host = Some(host.to_owned());
        }
        self.within = target(line).map(str::to_owned);
    }

    /// Its name, where one is told.
    pub(super) fn name(&self) -> Option<String> {
        match (&self.host, &self.within) {
            (None, None) => None,
            (Some(name), None) | (None, Some(name)) => Some(name.clone()),
            (Some(host), Some(within)) => Some(format!("{host}/{within}")),
        }
    }
}

/// Returns whether a line that may look like a prompt names a place instead: `### host web-0`,
/// `==> web-0.txt <==`.
pub(super) fn is_heading(line: &str) -> bool {
    (line.starts_with('#') || line.starts_with("==")) && separator(line).is_some()
}

/// Returns whether a line stands between tables of several places or moments.
pub(super) fn tells_place_or_time(line: &str) -> bool {
    separator(line).is_some() || has_time(line)
}

/// Commands that run another one elsewhere, and the word before its name, if there is one.
const RUNNERS: [(&str, &str); 14] = [
    ("netns", "exec"),
    ("kubectl", "exec"),
    ("kubectl", "debug"),
    ("oc", "exec"),
    ("oc", "rsh"),
    ("docker", "exec"),
    ("docker-compose", "exec"),
    ("podman", "exec"),
    ("crictl", "exec"),
    ("nerdctl", "exec"),
    ("lxc", "exec"),
    ("incus", "exec"),
    ("machinectl", "shell"),
    ("ssh", ""),
];

/// Options that name a place, by the command they belong to.
const NAMING: [(&str, &[&str]); 4] = [
    ("nsenter", &["-t", "--target", "--net", "-n"]),
    ("ss", &["-N", "--net"]),
    ("ip", &["-n", "-netns"]),
    ("lxc-attach", &["-n", "--name"]),
];

/// The container, namespace or host that a command runs in.
fn target(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = named_by_option(&words).or_else(|| named_by_runner(&words))?;
    let known = !name.starts_with(['$', '"', '-']) && !is_tool(name);
    known.then_some(name)
}

fn named_by_option<'a>(words: &[&'a str]) -> Option<&'a str> {
    let (at, options) = words.iter().enumerate().find_map(|(at, word)| {
        let command = word.rsplit('/').next().unwrap_or(word);
        let naming = NAMING.iter().find(|(name, _)| *name == command)?;
        Some((at, naming.1))
    })?;
    let rest = &words[at + 1..];
    options.iter().find_map(|option| {
        rest.iter().enumerate().find_map(|(at, word)| {
            let value = word.strip_prefix(option)?;
            match value.strip_prefix('=') {
                Some(value) => Some(value),
                None if value.is_empty() => rest.get(at + 1).copied(),
                None => None,
            }
        })
    })
}

fn named_by_runner<'a>(words: &[&'a str]) -> Option<&'a str> {
    const WITH_VALUE: [&str; 12] = [
        "-n",
        "--namespace",
        "-c",
        "--container",
        "-u",
        "--user",
        "-e",
        "-w",
        "-p",
        "-i",
        "-o",
        "-l",
    ];
    let (at, verb) = words.iter().enumerate().find_map(|(at, word)| {
        let is_this = |(name, verb): &&(&str, &str)| {
            name == word && (verb.is_empty() || words[at..].contains(verb))
        };
        Some((at, RUNNERS.iter().find(is_this)?.1))
    })?;
    let ssh = words[at] == "ssh";
    let interactive = |word: &str| matches!(word, "-i" | "-t") && !ssh;
    let mut rest = words[at + 1..].iter();
    if !verb.is_empty() {
        rest.find(|word| **word == verb)?;
    }
    let mut skip = false;
    rest.copied().find(|word| {
        let value = std::mem::replace(&mut skip, false);
        if word.starts_with('-') {
            skip = WITH_VALUE.contains(word) && !interactive(word);
            return false;
        }
        !value
    })
}

/// The host that a prompt names: `user@host:~$ `, `[user@host dir]# `.
fn host_of_prompt(line: &str) -> Option<&str> {
    let command = after_prompt(line)?;
    let prompt = &line[..line.len() - command.len()];
    let (_, rest) = prompt.split_once('@')?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.' | '_')))?;
    (end > 0).then(|| &rest[..end])
}

/// The name between marks: `== web-0`, `--- host: db1 ---`, `>>> web-0 <<<`, and what Ansible and
/// parallel shells print.
fn separator(line: &str) -> Option<&str> {
    const MARKS: [char; 8] = ['=', '-', '#', '*', '>', '<', '_', '~'];
    if let Some((name, rest)) = line.split_once(" | ") {
        let ansible = ["CHANGED", "SUCCESS", "FAILED"];
        return ansible
            .iter()
            .any(|word| rest.starts_with(word))
            .then_some(name);
    }
    let bare = line.trim_matches(|c: char| {
        MARKS.contains(&c) || c.is_whitespace() || c == '[' || c == ']' || c == ':'
    });
    let marked = bare.len() < line.trim().len();
    let words: Vec<&str> = bare.split_whitespace().collect();
    let name = match words[..] {
        [name] => name,
        [kind, name] => is_kind(kind).then_some(name)?,
        _ => return None,
    };
    let is_name =
        name.contains(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.')) || words.len() == 2;
    let plain = name
        .chars()
        .all(|c| c.is_alphanumeric() || "-._/:".contains(c));
    let starts = name.starts_with(char::is_alphabetic);
    (marked && is_name && plain && starts && !is_tool(name)).then_some(name)
}

fn is_kind(word: &str) -> bool {
    const KINDS: [&str; 8] = [
        "host",
        "node",
        "pod",
        "container",
        "server",
        "netns",
        "namespace",
        "machine",
    ];
    let word = word.trim_end_matches(':').to_lowercase();
    KINDS.contains(&word.as_str())
}

/// Returns whether a short line has a time of day: what `date`, `watch` and a loop print.
fn has_time(line: &str) -> bool {
    const LONGEST: usize = 120;
    line.len() <= LONGEST && line.split([' ', 'T', '[', ']', ',']).any(is_time)
}

/// `10:11:12`, with or without a fraction or a zone.
fn is_time(word: &str) -> bool {
    let mut parts = word.split(':');
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(two_digits)
        && parts.next().is_some_and(two_digits)
        && parts
            .next()
            .is_some_and(|part| part.get(..2).is_some_and(two_digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_names_its_host() {
        assert_eq!(host_of_prompt("root@web-1:~# ss -tan"), Some("web-1"));
        assert_eq!(
            host_of_prompt("[ops@db.example ~]$ netstat -an"),
            Some("db.example")
        );
        assert_eq!(host_of_prompt("$ ssh ops@web-1 ss -tan"), None);
        assert_eq!(host_of_prompt("mail me@example.org"), None);
    }

    #[test]
    fn a_command_names_where_it_runs() {
        for (line, expected) in [
            ("# ip netns exec blue ss -Htan", Some("blue")),
            (
                "$ kubectl -n shop exec web-0 -c app -- ss -tan",
                Some("web-0"),
            ),
            ("$ kubectl exec -it -n shop web-0 -- ss -tan", Some("web-0")),
            ("$ docker exec -it web ss -tan", Some("web")),
            ("$ docker-compose exec web ss -tan", Some("web")),
            ("$ kubectl debug -it web-0 --image=x -- ss", Some("web-0")),
            ("# nsenter -t 411 -n ss -tan", Some("411")),
            ("# nsenter --target 411 --net ss -tan", Some("411")),
            (
                "# nsenter --net=/run/netns/red ss -tan",
                Some("/run/netns/red"),
            ),
            ("# ss -N red -tan", Some("red")),
            ("# ss --net=red -tan", Some("red")),
            ("# ip -n red addr", Some("red")),
            ("$ ssh -p 22 ops@web-1 ss -tan", Some("ops@web-1")),
            ("$ for p in a b; do kubectl exec $p -- ss -tan; done", None),
            ("$ ss -tan", None),
        ] {
            assert_eq!(target(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_between_tables_names_a_host() {
        for (line, expected) in [
            ("== web-0", Some("web-0")),
            ("=== web-0 ===", Some("web-0")),
            ("--- host: db ---", Some("db")),
            ("web-1 | CHANGED | rc=0 >>", Some("web-1")),
            ("web-1:", Some("web-1")),
            ("### netstat", None),
            ("---", None),
            ("it is stuck", None),
        ] {
            assert_eq!(separator(line), expected, "{line}");
        }
    }

    #[test]
    fn a_time_is_told_from_an_address() {
        assert!(has_time("Mon Jan  5 10:11:12 UTC 2026"));
        assert!(has_time("2026-01-05T10:11:12Z"));
        assert!(has_time(
            "Every 2.0s: ss -tan    web: Mon Jan  5 10:11:12 2026"
        ));
        assert!(!has_time("2001:db8::1"));
    }
}
