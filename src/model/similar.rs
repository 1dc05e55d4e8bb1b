//! Names that are similar to one that was asked for.

/// Returns the most similar of some names, each once: those that begin alike or differ by few letters.
pub fn closest<'n>(asked: &str, names: impl Iterator<Item = &'n str>, most: usize) -> Vec<String> {
    let asked = asked.to_lowercase();
    let mut ranked: Vec<(usize, &str)> = names
        .filter_map(|name| Some((rank(&asked, &name.to_lowercase())?, name)))
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    let closest = ranked.into_iter().take(most);
    closest.map(|(_, name)| name.to_owned()).collect()
}

/// How far a name, or its beginning, is from the one that was asked for; none where they have too little in common.
fn rank(asked: &str, name: &str) -> Option<usize> {
    if asked.is_empty() {
        return None;
    }
    if name.contains(asked) {
        return Some(0);
    }
    let length = asked.chars().count();
    let beginning = |letters: usize| name.chars().take(letters).collect::<String>();
    let candidates = [name.to_owned(), beginning(length), beginning(length + 1)];
    let far = candidates.iter().map(|one| distance(asked, one)).min()?;
    // Up to a third of the letters may be wrong.
    (far * 3 <= length).then_some(far)
}

/// The number of letters to insert, remove, replace or swap with the next (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for row in 1..=one.len() {
        let mut next = vec![row];
        for column in 1..=other.len() {
            let (letter, with) = (one[row - 1], other[column - 1]);
            let replaced = rows[row - 1][column - 1] + usize::from(letter != with);
            let mut least = replaced
                .min(rows[row - 1][column] + 1)
                .min(next[column - 1] + 1);
            let swapped =
                row > 1 && column > 1 && letter == other[column - 2] && one[row - 2] == with;
            if swapped {
                least = least.min(rows[row - 2][column - 2] + 1);
            }
            next.push(least);
        }
        rows.push(next);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: &str) -> Vec<String> {
        closest(
            asked,
            ["nginx", "php-fpm8.2", "sshd", "nginx"].into_iter(),
            2,
        )
    }

    #[test]
    fn a_slip_and_a_part_are_recognised_and_a_stranger_is_not() {
        assert_eq!(of("ngnix"), ["nginx"]);
        assert_eq!(of("php"), ["php-fpm8.2"]);
        assert_eq!(of("pph-fpm"), ["php-fpm8.2"]);
        assert_eq!(of("SSH"), ["sshd"]);
        assert!(of("postgres").is_empty());
        assert!(of("").is_empty());
    }

    #[test]
    fn letters_are_counted_that_differ() {
        for (one, other, far) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("ngnix", "nginx", 1),
        ] {
            assert_eq!(distance(one, other), far, "{one} {other}");
        }
    }
}
