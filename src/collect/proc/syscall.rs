//! `/proc/PID/task/TID/syscall`.

use crate::model::{Reading, Syscall};

/// Parses the file: `running`, `-1 sp pc`, or the call's number, six arguments, sp and pc.
pub fn parse_syscall(bytes: &[u8]) -> Option<Syscall> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    if first == "running" {
        return Some(Syscall::Running);
    }
    let number: i64 = first.parse().ok()?;
    let Ok(number) = u32::try_from(number) else {
        return Some(Syscall::None);
    };
    let mut args = [0; 4];
    for arg in &mut args {
        *arg = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some(Syscall::Call { number, args })
}

/// The arguments of the call that a thread sleeps in, where it is in one.
pub(super) fn argument_words(syscall: &Reading<Syscall>) -> Option<[u64; 4]> {
    match syscall {
        Reading::Known(Syscall::Call { args, .. }) => Some(*args),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn epoll_wait_on_debian_12_kernel_6_18() {
        let text =
            b"232 0x4 0x5586c20e6940 0x3ff 0xffffffff 0x0 0x0 0x7ffeabe74de8 0x7f283bb26ef3\n";
        assert_eq!(
            parse_syscall(text),
            Some(Syscall::Call {
                number: 232,
                args: [4, 0x5586_c20e_6940, 0x3ff, 0xffff_ffff],
            })
        );
    }

    #[test]
    fn a_running_thread_and_one_outside_a_call_are_told_apart() {
        assert_eq!(parse_syscall(b"running\n"), Some(Syscall::Running));
        assert_eq!(
            parse_syscall(b"-1 0x7ffe24d4fa18 0x559a00e3d04b\n"),
            Some(Syscall::None)
        );
    }

    #[test]
    fn a_cut_line_gives_nothing() {
        assert_eq!(parse_syscall(b""), None);
        assert_eq!(parse_syscall(b"232 0x4 0x5586"), None);
        assert_eq!(parse_syscall(b"232 4 5 6 7"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_syscall(&bytes);
        }
    }
}
