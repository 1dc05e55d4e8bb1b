//! The oldest of many connections, without keeping the others.

use std::cmp::Reverse;

use super::ConnectionRow;

/// Keeps so many of the rows that it is given, those of the connections that are longest in their
/// state. Of equals it keeps the first, and whose age is not known comes last.
pub struct Oldest<'a> {
    most: usize,
    rows: Vec<ConnectionRow<'a>>,
}

/// The number of rows beyond the limit that may gather before the young ones are dropped.
const SPARE: usize = 64;

impl<'a> Oldest<'a> {
    /// Keeps at most this many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            rows: Vec::new(),
        }
    }

    /// Takes a row into account.
    pub fn add(&mut self, row: ConnectionRow<'a>) {
        self.rows.push(row);
        if self.rows.len() >= self.most.saturating_mul(2).saturating_add(SPARE) {
            self.drop_young();
        }
    }

    /// The oldest, in the order of their ages.
    pub fn into_rows(mut self) -> Vec<ConnectionRow<'a>> {
        self.drop_young();
        self.rows
    }

    fn drop_young(&mut self) {
        self.rows.sort_by_key(|row| Reverse(row.age.at_least));
        self.rows.truncate(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::Place;
    use crate::correlate::age::Age;
    use crate::correlate::fixtures::waiting_connection;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn they_are_those_that_sorting_all_would_put_first(
            ages in proptest::collection::vec(proptest::option::of(0_u64..20), 0..300),
            most in 0_usize..40,
        ) {
            let connection = waiting_connection(0);
            let rows: Vec<(usize, ConnectionRow)> = ages.iter().enumerate().map(|(index, age)| {
                (index, ConnectionRow {
                    netns: "current",
                    connection: &connection,
                    place: Place::AcceptQueue(Some(index)),
                    ended: false,
                    age: Age { at_least: age.map(Duration::from_secs), at_most: None },
                    owners: &[],
                })
            }).collect();
            let mut sorted = rows.clone();
            sorted.sort_by_key(|(_, row)| Reverse(row.age.at_least));
            let expected: Vec<Place> = sorted.iter().take(most).map(|(_, row)| row.place).collect();
            let mut oldest = Oldest::new(most);
            for (_, row) in &rows {
                oldest.add(*row);
            }
            let places: Vec<Place> = oldest.into_rows().iter().map(|row| row.place).collect();
            prop_assert_eq!(places, expected);
        }
    }
}
