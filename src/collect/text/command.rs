//! The lines above a table that show what it leaves out: the command, and the header.

use super::state::parse_state;
use crate::model::TcpState;

/// What can be read from the lines above a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The command, where it is in the text.
    pub command: Option<Command>,
    /// Which command of the text it is; 0 where there is none.
    pub run: usize,
    /// A line with the names of columns.
    pub header: bool,
    /// It is a table of `netstat`, by its header.
    pub of_netstat: bool,
    /// A header says that listeners are left out, or that only they are shown.
    pub part: Option<Part>,
    /// An ellipsis stands for rows that were taken out.
    pub ellipsis: bool,
}

/// What a command leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Which sockets its options show; none where they show all.
    pub part: Option<Part>,
    /// The state that `ss state NAME` was asked for.
    pub state: Option<TcpState>,
    /// A pipe or an expression leaves out more.
    pub filtered: bool,
    /// It prints no header.
    pub headerless: bool,
    /// The command itself, to tell whether it was run again.
    pub text: String,
}

/// A part of the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Listeners only.
    Listeners,
    /// Everything else.
    Connections,
}

/// Programs that pass on every line.
const PASSING_ON: [&str; 9] = [
    "cat", "column", "less", "more", "nl", "sort", "sudo", "tee", "ts",
];

/// Programs that pass on some lines, or some columns.
const FILTERS: [&str; 13] = [
    "grep", "egrep", "fgrep", "zgrep", "rg", "ag", "awk", "gawk", "sed", "head", "tail", "cut",
    "findstr",
];

impl Evidence {
    /// Which sockets were asked for; none where all were.
    pub(super) fn part(&self) -> Option<Part> {
        let command = self.command.as_ref().and_then(|command| command.part);
        self.part.or(command)
    }

    /// Returns whether every row that was asked for is there.
    pub(super) fn is_complete(&self) -> bool {
        let command = self.command.as_ref();
        let filtered = command.is_some_and(|command| command.filtered);
        let headerless = command.is_some_and(|command| command.headerless);
        !filtered && !self.ellipsis && (self.header || headerless)
    }

    /// The state that was asked for.
    pub(super) fn state(&self) -> Option<TcpState> {
        self.command.as_ref()?.state
    }
}

/// Reads a line that runs a command; nothing where it runs none.
pub(super) fn parse_command(line: &str) -> Option<Command> {
    let prompted = after_prompt(line);
    let words: Vec<&str> = line
        .split_whitespace()
        .map(|word| word.trim_matches(['\'', '"', '(', ')', '`', ',']))
        .filter(|word| !word.is_empty())
        .collect();
    let Some(at) = words.iter().position(|word| tool(word).is_some()) else {
        return prompted.map(|text| Command {
            filtered: true,
            text: text.to_owned(),
            ..Command::default()
        });
    };
    let tool = tool(words[at])?;
    let end = words[at..]
        .iter()
        .position(|word| matches!(*word, "|" | ";" | "&&" | "||" | "<") || word.starts_with('>'))
        .map_or(words.len(), |end| at + end);
    let arguments = &words[at + 1..end];
    let mut command = match tool {
        Tool::Ss => ss(arguments),
        Tool::Netstat => netstat(arguments),
        Tool::File => Command::default(),
    };
    watched(prompted.unwrap_or(line))
        .trim()
        .clone_into(&mut command.text);
    command.filtered |= runs_filter(&words) || pipes_into_another(&words[end..]);
    Some(command)
}

/// The command in what `watch` prints above it: `Every 2.0s: ss -tan      host: Mon Jan  5 10:11:12 2026`.
fn watched(line: &str) -> &str {
    let command = line
        .strip_prefix("Every ")
        .and_then(|rest| rest.split_once(": "));
    command.map_or(line, |(_, command)| {
        command.split("  ").next().unwrap_or(command)
    })
}

#[derive(Debug, Clone, Copy)]
enum Tool {
    Ss,
    Netstat,
    /// A copy of a file in `/proc`.
    File,
}

/// Returns whether a word names what prints tables.
pub(super) fn is_tool(word: &str) -> bool {
    tool(word).is_some()
}

fn tool(word: &str) -> Option<Tool> {
    let name = word.rsplit(['/', '$', '#', '%']).next()?;
    match name {
        "ss" => Some(Tool::Ss),
        "netstat" | "lsof" => Some(Tool::Netstat),
        "tcp" | "tcp6" if word.ends_with("/net/tcp") || word.ends_with("/net/tcp6") => {
            Some(Tool::File)
        }
        _ => None,
    }
}

fn runs_filter(words: &[&str]) -> bool {
    words.iter().any(|word| {
        let name = word.rsplit(['/', '|']).next().unwrap_or(word);
        FILTERS.contains(&name)
    })
}

fn pipes_into_another(rest: &[&str]) -> bool {
    rest.windows(2)
        .any(|pair| pair[0] == "|" && !PASSING_ON.contains(&pair[1]))
}

fn ss(arguments: &[&str]) -> Command {
    let mut command = Command::default();
    let options = Options::of(arguments);
    let words: Vec<&str> = plain_words(arguments);
    let mut states = words.windows(2).filter(|pair| pair[0] == "state");
    command.state = match (states.next(), states.next()) {
        (Some(pair), None) => parse_state(pair[1]),
        _ => None,
    };
    let only_state = words.len() == 2 && command.state.is_some();
    let everything = words.is_empty() || words == ["state", "all"];
    command.filtered = !(everything || only_state) || options.one_family();
    command.headerless = options.has('H');
    command.part = match command.state {
        Some(_) => None,
        None if words.contains(&"state") => None,
        None => options.part(),
    };
    command
}

fn netstat(arguments: &[&str]) -> Command {
    let options = Options::of(arguments);
    Command {
        part: options.part(),
        filtered: options.one_family(),
        ..Command::default()
    }
}

/// Words that are no options and no redirections.
fn plain_words<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let words = arguments.iter().copied();
    words
        .filter(|word| !word.starts_with(['-', '<', '&']) && !word.contains(">&"))
        .filter(|word| !word.starts_with("2>"))
        .collect()
}

/// The letters of all options, the long ones by the letter that means the same.
struct Options(String);

impl Options {
    fn of(arguments: &[&str]) -> Self {
        let letters = arguments.iter().filter_map(|word| match *word {
            "--all" => Some("a"),
            "--listening" => Some("l"),
            "--no-header" => Some("H"),
            "--ipv4" | "--inet" => Some("4"),
            "--ipv6" | "--inet6" => Some("6"),
            word if word.starts_with("--") => None,
            word => word.strip_prefix('-'),
        });
        Self(letters.collect())
    }

    fn has(&self, letter: char) -> bool {
        self.0.contains(letter)
    }

    fn one_family(&self) -> bool {
        self.has('4') != self.has('6')
    }

    fn part(&self) -> Option<Part> {
        match (self.has('a'), self.has('l')) {
            (true, _) => None,
            (false, true) => Some(Part::Listeners),
            (false, false) => Some(Part::Connections),
        }
    }
}

/// Returns what stands behind a prompt: `$ `, `user@host:~# `, `[root@host ~]# `, `PS C:\> `.
pub(super) fn after_prompt(line: &str) -> Option<&str> {
    const LONGEST: usize = 80;
    let (at, _) = line
        .char_indices()
        .take_while(|(at, _)| *at < LONGEST)
        .find(|(at, sign)| {
            matches!(sign, '$' | '#' | '%' | '>') && line[at + 1..].starts_with([' ', '\u{a0}'])
        })?;
    let before = &line[..at];
    let is_prompt = !before.contains(char::is_whitespace)
        || before.contains('@')
        || before.starts_with(['[', '('])
        || before.starts_with("PS ");
    let command = line[at + 1..].trim();
    (is_prompt && !command.is_empty()).then_some(command)
}

/// What a headline of `netstat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headline {
    /// Which sockets are shown; none where all are.
    pub part: Option<Part>,
}

/// Returns the part that a headline of `netstat` names, in the languages of net-tools.
pub(super) fn headline(line: &str) -> Option<Headline> {
    const HEADLINES: [&str; 11] = [
        "Active Internet connections",
        "Aktive Internetverbindungen",
        "Connexions Internet actives",
        "Conexões Internet Ativas",
        "Conexiones activas de Internet",
        "Aktivní Internetová spojení",
        "Connessioni Internet attive",
        "Aktiva internetanslutningar",
        "Активные соединения с интернетом",
        "激活Internet连接",
        "稼働中のインターネット接続",
    ];
    const WITHOUT_SERVERS: [&str; 6] = ["w/o", "ohne", "sans", "sem", "sin", "bez"];
    const ONLY_SERVERS: [&str; 6] = ["only", "Nur", "seulement", "仅服务器", "solo", "pouze"];
    let words: Vec<&str> = line.split_whitespace().collect();
    let joined = words.join(" ");
    HEADLINES.iter().find(|start| joined.starts_with(*start))?;
    let has = |names: &[&str]| {
        words
            .iter()
            .any(|word| names.contains(&word.trim_matches(['(', ')'])))
    };
    let part = if has(&WITHOUT_SERVERS) {
        Some(Part::Connections)
    } else if has(&ONLY_SERVERS) {
        Some(Part::Listeners)
    } else {
        None
    };
    Some(Headline { part })
}

/// Returns whether a line has the names of columns of `ss`, `netstat` or `/proc/net/tcp`.
pub(super) fn is_header(line: &str) -> bool {
    const QUEUES: [&str; 5] = ["Recv-Q", "Recv_Q", "RecvQ", "Empfangs-Q", "Recib Enviad"];
    let has = |name: &str| line.contains(name);
    QUEUES.iter().any(|name| has(name))
        || (has("local_address") && has("rem_address"))
        || (has("State") && has("Local Address:Port"))
        || (has("COMMAND") && has("NODE") && has("NAME"))
}

/// Returns whether a line stands for rows that were taken out.
pub(super) fn is_ellipsis(line: &str) -> bool {
    let bare = line.trim_matches(['[', ']', '(', ')', '<', '>', ' ', '-', '*', '#', '/']);
    let dots = bare.starts_with("...") || bare.starts_with('\u{2026}') || bare == "..";
    let ends = bare.ends_with("...") || bare.ends_with('\u{2026}');
    dots || ends || tells_of_a_cut(bare)
}

/// `[40 rows omitted]`, `<snip>`: a short line with such a word.
fn tells_of_a_cut(line: &str) -> bool {
    const LONGEST: usize = 60;
    const WORDS: [&str; 6] = ["snip", "snipped", "omitted", "truncated", "skipped", "etc"];
    line.len() <= LONGEST
        && line
            .to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        parse_command(line).unwrap()
    }

    #[test]
    fn a_whole_list_is_told_from_a_part() {
        for whole in [
            "ss -tan",
            "# ss -tanpoie",
            "root@a:~# netstat -antp",
            "$ netstat -antp 2>/dev/null | column -t",
            "$ sudo ss -Htanp < pw",
            "cat /proc/net/tcp /proc/net/tcp6",
        ] {
            let read = command(whole);
            assert_eq!((read.part, read.filtered), (None, false), "{whole}");
        }
        for filtered in [
            "$ ss -tan | grep -v CLOSE-WAIT",
            "netstat -an|grep 80",
            "ss -tan sport = :80",
            "ss -4tan",
            "netstat -ant | head",
            "watch -n1 'ss -tan | grep :80'",
            "$ grep 1F90 /proc/net/tcp",
            "$ cut -c12- rows.txt",
        ] {
            assert!(command(filtered).filtered, "{filtered}");
        }
        assert_eq!(command("ss -ltn").part, Some(Part::Listeners));
        assert_eq!(command("ss -tn").part, Some(Part::Connections));
        assert!(command("ss -Htan").headerless);
        let watched = |time: &str| command(&format!("Every 2.0s: ss -tan      web: {time}")).text;
        assert_eq!(watched("10:11:12"), watched("10:11:14"));
    }

    #[test]
    fn a_state_stands_in_the_command() {
        let state = |line| parse_command(line).and_then(|command| command.state);
        assert_eq!(
            state("$ ss -tn state close-wait"),
            Some(TcpState::CloseWait)
        );
        assert_eq!(state("ss state connected"), None);
        assert_eq!(state("ss state close-wait state established"), None);
        assert!(!command("ss -tn state close-wait").filtered);
        assert!(command("ss -tn state close-wait dst 10.0.0.1").filtered);
    }

    #[test]
    fn headlines_and_dots() {
        let part = |line: &str| headline(line).map(|headline| headline.part);
        for (kind, expected) in [
            ("w/o servers", Some(Part::Connections)),
            ("only servers", Some(Part::Listeners)),
            ("servers and established", None),
        ] {
            let line = format!("Active Internet connections ({kind})");
            assert_eq!(part(&line), Some(expected));
        }
        assert_eq!(headline("hello"), None);
        assert!(
            is_ellipsis("...") && is_ellipsis("[... 40 more lines ...]") && is_ellipsis("<snip>")
        );
        assert!(!is_ellipsis("$ ss -tan"));
    }
}
