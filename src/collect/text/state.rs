//! Names of states, as every tool and every language writes them.

use crate::model::TcpState;

/// Longer than the name of any state.
const LONGEST_NAME: usize = 24;

/// Reads the name of a state: as `ss`, its filters, `netstat`, `lsof` and Windows write it, and as
/// the message catalogues of net-tools translate it.
///
/// Punctuation that stands around the name is passed over.
pub(super) fn parse_state(name: &str) -> Option<TcpState> {
    let letters = letters(name)?;
    english(&letters).or_else(|| translated(&letters))
}

/// Reads the state at the beginning of `words`, of which a blank may have taken the sign in the middle; also returns how
/// many words it is.
pub(super) fn parse_state_of(words: &[&str]) -> Option<(TcpState, usize)> {
    if let [first, second, ..] = words
        && !second.is_empty()
        && first.chars().all(char::is_alphabetic)
        && second.chars().all(char::is_alphanumeric)
        && let Some(state) = parse_state(&format!("{first} {second}"))
    {
        return Some((state, 2));
    }
    Some((parse_state(words.first()?)?, 1))
}

/// Returns whether words name CLOSE_WAIT, as people write it.
pub(super) fn speaks_of_close_wait(words: &str) -> bool {
    let is_sign = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_'));
    let mut before = "";
    words
        .split(is_sign)
        .filter(|word| !word.is_empty())
        .any(|word| {
            let is_two_words =
                before.eq_ignore_ascii_case("close") && word.eq_ignore_ascii_case("wait");
            before = word;
            is_two_words || parse_state(word) == Some(TcpState::CloseWait)
        })
}

/// Upper case, without what joins words.
fn letters(name: &str) -> Option<String> {
    let name = name.trim_matches(['*', '(', ')', ',', ';', ':', '\'', '"', '.', '[', ']', '=']);
    let mut letters = String::new();
    for character in name.chars() {
        match character {
            '-' | '_' | ' ' => {}
            character if character.is_alphanumeric() => letters.extend(character.to_uppercase()),
            _ => return None,
        }
        if letters.len() > LONGEST_NAME {
            return None;
        }
    }
    (!letters.is_empty()).then_some(letters)
}

fn english(letters: &str) -> Option<TcpState> {
    Some(match letters {
        "ESTAB" | "ESTABLISHED" => TcpState::Established,
        "SYNSENT" => TcpState::SynSent,
        "SYNRECV" | "SYNRCVD" | "SYNRECEIVED" | "NEWSYNRECV" => TcpState::SynRecv,
        "FINWAIT1" => TcpState::FinWait1,
        "FINWAIT2" => TcpState::FinWait2,
        "TIMEWAIT" => TcpState::TimeWait,
        "CLOSE" | "CLOSED" | "UNCONN" => TcpState::Close,
        "CLOSEWAIT" => TcpState::CloseWait,
        "LASTACK" => TcpState::LastAck,
        "LISTEN" | "LISTENING" => TcpState::Listen,
        "CLOSING" => TcpState::Closing,
        _ => return None,
    })
}

/// net-tools in Portuguese, German and Czech translate states, its Spanish catalogue of Ubuntu two of
/// them, and Windows in German; the other languages of net-tools (Estonian, French, Japanese) only
/// `UNKNOWN`.
fn translated(letters: &str) -> Option<TcpState> {
    Some(match letters {
        "ESTABELECIDA" | "ESTABELECIDO" | "ESTABLECIDO" | "VERBUNDEN" | "SPOJENO"
        | "HERGESTELLT" => TcpState::Established,
        "SYNENVIADO" | "SYNGESENDET" => TcpState::SynSent,
        "SYNRECEBIDO" | "SYNEMPFANGEN" => TcpState::SynRecv,
        "ESPERAFIN1" | "FINWARTEN1" => TcpState::FinWait1,
        "ESPERAFIN2" | "FINWARTEN2" => TcpState::FinWait2,
        "WARTEND" => TcpState::TimeWait,
        "FECHAR" | "ZAVŘEN" | "GESCHLOSSEN" => TcpState::Close,
        "ESPERANDOFECHAR" | "SCHLIESSENWARTEN" | "SCHLIESSENWARTENDE" => TcpState::CloseWait,
        "ÚLTIMOACK" | "POSLEDNÍACK" | "LETZTESACK" => TcpState::LastAck,
        "OUÇA" | "OUVINDO" | "ESCUCHAR" | "NASLOUCHÁ" | "ABHÖREN" | "HÖRT" => TcpState::Listen,
        "FECHANDO" | "ZAVÍRÁ" | "SCHLIESSEND" => TcpState::Closing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_state_has_many_names() {
        for name in [
            "CLOSE_WAIT",
            "CLOSE-WAIT",
            "close-wait",
            "CloseWait",
            "(CLOSE_WAIT)",
            "ESPERANDO_FECHAR",
            "SCHLIESSEN_WARTEN",
            "*CLOSE_WAIT*",
            "CLOSE_WAIT,",
        ] {
            assert_eq!(parse_state(name), Some(TcpState::CloseWait), "{name}");
        }
        assert_eq!(parse_state("OUÇA"), Some(TcpState::Listen));
        assert_eq!(parse_state("ouça"), Some(TcpState::Listen));
        for no_state in [
            "",
            "-",
            "users:((\"LISTEN\",pid=1))",
            "LISTENER",
            "1",
            "10.0.0.1:80",
        ] {
            assert_eq!(parse_state(no_state), None, "{no_state}");
        }
    }

    #[test]
    fn a_state_may_be_two_words() {
        assert_eq!(
            parse_state_of(&["CLOSE", "WAIT", "7/web"]),
            Some((TcpState::CloseWait, 2))
        );
        assert_eq!(
            parse_state_of(&["CLOSE", "7/web"]),
            Some((TcpState::Close, 1))
        );
        assert_eq!(
            parse_state_of(&["CLOSE_WAIT"]),
            Some((TcpState::CloseWait, 1))
        );
        assert_eq!(
            parse_state_of(&["LISTEN", "0"]),
            Some((TcpState::Listen, 1))
        );
        assert_eq!(parse_state_of(&[]), None);
    }

    #[test]
    fn words_name_the_state_in_several_ways() {
        for words in [
            "all in CLOSE_WAIT:",
            "(close-wait)",
            "in close wait now",
            "CloseWait",
        ] {
            assert!(speaks_of_close_wait(words), "{words}");
        }
        for words in ["close the wait", "closed; wait", "TIME_WAIT", ""] {
            assert!(!speaks_of_close_wait(words), "{words}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = parse_state(&text);
        }
    }
}
