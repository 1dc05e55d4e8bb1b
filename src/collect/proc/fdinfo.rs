//! `/proc/PID/fdinfo/FD` of an epoll instance.

use crate::model::EpollWatch;

/// Parses the registrations, and counts lines that should be one and are not.
///
/// `tfd:        6 events: 80002019 data:                6  pos:0 ino:5a893 sdev:9`, where `events`,
/// `data`, `ino` and `sdev` are hexadecimal; `ino` is there since Linux 4.13.
pub fn parse_epoll_watches(bytes: &[u8]) -> (Vec<EpollWatch>, usize) {
    let mut watches = Vec::new();
    let mut malformed = 0;
    for line in bytes.split(|byte| *byte == b'\n') {
        if !line.starts_with(b"tfd:") {
            continue;
        }
        match std::str::from_utf8(line).ok().and_then(parse_watch) {
            Some(watch) => watches.push(watch),
            None => malformed += 1,
        }
    }
    (watches, malformed)
}

fn parse_watch(line: &str) -> Option<EpollWatch> {
    // Values are set off by blanks in some fields and not in others.
    let field = |name: &str| {
        let start = line.find(name)? + name.len();
        line[start..].split_ascii_whitespace().next()
    };
    Some(EpollWatch {
        target_fd: field("tfd:")?.parse().ok()?,
        events: u32::from_str_radix(field("events:")?, 16).ok()?,
        target_inode: match field("ino:") {
            Some(inode) => Some(u64::from_str_radix(inode, 16).ok()?),
            None => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KERNEL_6_18: &[u8] = b"pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1060\n\
        tfd:        6 events: 80002019 data:                6  pos:0 ino:5a893 sdev:9\n\
        tfd:        7 events: 40000000 data: ffff00000000abcd  pos:0 ino:5a894 sdev:9\n";

    #[test]
    fn registrations_of_kernel_6_18() {
        let (watches, malformed) = parse_epoll_watches(KERNEL_6_18);
        assert_eq!(malformed, 0);
        assert_eq!(
            watches[0],
            EpollWatch {
                target_fd: 6,
                events: 0x8000_2019,
                target_inode: Some(0x5a893),
            }
        );
        assert!(watches[0].edge_triggered() && watches[0].wants_input());
        assert!(watches[1].spent_one_shot());
    }

    #[test]
    fn a_kernel_before_4_13_names_no_inode() {
        let line = b"tfd:        5 events:       1d data:                5\n";
        let (watches, malformed) = parse_epoll_watches(line);
        assert_eq!((watches[0].target_inode, malformed), (None, 0));
    }

    #[test]
    fn one_odd_line_does_not_lose_the_set() {
        let mut text = b"tfd: x events: 1\ntfd:\n".to_vec();
        text.extend(KERNEL_6_18);
        let (watches, malformed) = parse_epoll_watches(&text);
        assert_eq!((watches.len(), malformed), (2, 2));
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line in "tfd:.{0,80}", bytes in any::<Vec<u8>>()) {
            parse_epoll_watches(line.as_bytes());
            parse_epoll_watches(&bytes);
        }
    }
}
