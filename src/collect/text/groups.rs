//! The tables of one place.

use super::table::Table;

/// Puts the tables of each place together, in the order of the text.
///
/// A table of which the place is not told belongs to the one host that is named, if there is only
/// one and nothing ran elsewhere.
pub(super) fn of_places(tables: Vec<Table>) -> Vec<(Option<String>, Vec<Table>)> {
    let mut names: Vec<String> = tables
        .iter()
        .filter_map(|table| table.place.name())
        .collect();
    names.sort_unstable();
    names.dedup();
    let elsewhere = tables.iter().any(|table| table.place.within.is_some());
    let only_host = (names.len() <= 1 && !elsewhere).then(|| names.pop());
    let mut groups: Vec<(Option<String>, Vec<Table>)> = Vec::new();
    for table in tables {
        let name = match &only_host {
            Some(host) => host.clone(),
            None => table.place.name(),
        };
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, members)) => members.push(table),
            None => groups.push((name, vec![table])),
        }
    }
    groups
}
