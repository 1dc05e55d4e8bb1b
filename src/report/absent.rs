//! What was asked for and is not there, in words and over several network namespaces.

use std::net::SocketAddr;

use crate::model::{Absent, Asked, Scope};

/// The most listeners that are named.
const NAMED: usize = 5;

/// What is absent in each of two network namespaces; what is there in one of them is there.
pub(super) fn merge(one: Vec<Absent>, other: &[Absent]) -> Vec<Absent> {
    one.into_iter()
        .filter_map(|mut absent| {
            let too = other
                .iter()
                .find(|more| is_same(&more.asked, &absent.asked))?;
            absent.nearby.extend(&too.nearby);
            absent.nearby.sort_unstable();
            absent.nearby.dedup();
            absent.nearby.truncate(NAMED);
            Some(absent)
        })
        .collect()
}

/// Returns whether two looks were asked for the same; names have other similar ones in each.
fn is_same(one: &Asked, other: &Asked) -> bool {
    match (one, other) {
        (Asked::Name(one, _), Asked::Name(other, _)) => one == other,
        (one, other) => one == other,
    }
}

/// Says in one sentence what is not there, and what is instead. `scope` is that of the look.
pub fn absent_sentence(absent: &Absent, scope: &Scope) -> String {
    let place = if scope.all_netns {
        " in any network namespace"
    } else {
        ""
    };
    let nothing = match &absent.asked {
        Asked::Port(range) => format!(
            "nothing listens on port {range}{place}, and no connection has it on either end"
        ),
        Asked::Address(address) => {
            format!("nothing listens on {address}{place}, and no connection has it on either end")
        }
        Asked::Name(name, others) => format!(
            "no process or unit called {name} holds a TCP socket{place}{}",
            similar(others)
        ),
        Asked::Process(pid) => format!("process {pid} holds no TCP socket that was asked for"),
        Asked::Namespace(name) => {
            format!("the network namespace {name} has no listener and no connection")
        }
    };
    let elsewhere = match absent.asked {
        Asked::Port(_) | Asked::Address(_) | Asked::Name(..) if !scope.all_netns => {
            "; other network namespaces: --all-netns"
        }
        Asked::Port(_)
        | Asked::Address(_)
        | Asked::Name(..)
        | Asked::Process(_)
        | Asked::Namespace(_) => "",
    };
    format!("{nothing}{}{elsewhere}", nearby(&absent.nearby))
}

fn similar(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!(
        "; of those that hold one, the nearest names are {}",
        names.join(", ")
    )
}

fn nearby(listeners: &[SocketAddr]) -> String {
    if listeners.is_empty() {
        return String::new();
    }
    let names: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    format!("; the nearest listeners are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absent(port: u16, nearby: &[&str]) -> Absent {
        Absent {
            asked: Asked::Port(port.into()),
            nearby: nearby.iter().map(|local| local.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn what_is_there_in_one_namespace_is_there() {
        assert_eq!(merge(vec![absent(9, &[])], &[]), []);
        assert_eq!(merge(vec![absent(9, &[])], &[absent(10, &[])]), []);
        let both = merge(
            vec![absent(9, &["0.0.0.0:22"])],
            &[absent(9, &["0.0.0.0:22", "0.0.0.0:8"])],
        );
        assert_eq!(both, [absent(9, &["0.0.0.0:8", "0.0.0.0:22"])]);
    }

    #[test]
    fn the_sentence_names_the_nearest_listeners_and_where_to_look_next() {
        let sentence = absent_sentence(&absent(808, &["0.0.0.0:8080"]), &Scope::default());
        assert_eq!(
            sentence,
            "nothing listens on port 808, and no connection has it on either end; the nearest \
             listeners are 0.0.0.0:8080; other network namespaces: --all-netns"
        );
        let everywhere = Scope {
            all_netns: true,
            ..Scope::default()
        };
        assert!(!absent_sentence(&absent(9, &[]), &everywhere).contains("--all-netns"));
    }
}
