//! `/proc/PID/limits`.

use crate::model::FdLimit;

/// Parses the line `Max open files  SOFT  HARD  files`.
pub fn parse_open_files_limit(bytes: &[u8]) -> Option<FdLimit> {
    let text = std::str::from_utf8(bytes).ok()?;
    let values = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let mut values = values.split_ascii_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(FdLimit {
        soft: values.next()??,
        hard: values.next()??,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn soft_and_hard_limit_of_kernel_6_18() {
        let text =
            b"Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max open files            1024                 unlimited            files     \n";
        let limit = parse_open_files_limit(text).unwrap();
        assert_eq!((limit.soft, limit.hard), (1024, u64::MAX));
    }

    #[test]
    fn a_file_without_the_line_gives_nothing() {
        assert_eq!(parse_open_files_limit(b"Max cpu time unlimited"), None);
        assert_eq!(parse_open_files_limit(b"Max open files 12"), None);
        assert_eq!(parse_open_files_limit(b"Max open files many more"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in any::<Vec<u8>>(), rest in ".{0,60}") {
            let _ = parse_open_files_limit(&bytes);
            let _ = parse_open_files_limit(format!("Max open files{rest}").as_bytes());
        }
    }
}
