//! The names of users.
#![expect(
    clippy::disallowed_methods,
    reason = "names of users are for this host only, so they are not asked for through the seam, where they would be recorded"
)]

use std::collections::BTreeMap;
use std::fs;

/// Reads the names of local users by their ids (`/etc/passwd`). Where it cannot be read, none is known; who is kept
/// in a directory service is not in it.
pub fn read_user_names() -> BTreeMap<u32, String> {
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    parse_user_names(&String::from_utf8_lossy(&passwd))
}

/// Of two names for one id the first counts, as for `getpwuid(3)`.
fn parse_user_names(passwd: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1));
        if let (Some(name), Some(Ok(uid))) = (name, uid.map(str::parse)) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_id_counts_and_other_lines_do_not() {
        let names = parse_user_names(
            "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:\n+::::::\nx\n",
        );
        let expected = [(0, "root".to_owned()), (33, "www-data".to_owned())];
        assert_eq!(names, BTreeMap::from(expected));
    }
}
