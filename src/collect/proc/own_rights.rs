//! What this program itself may do.

use crate::collect::kernel::Kernel;
use crate::model::Rights;

/// Bit numbers of capabilities (`linux/capability.h`).
const DAC_READ_SEARCH: u32 = 2;
const SYS_PTRACE: u32 = 19;

/// What the first user namespace maps: all ids to themselves.
const EVERYTHING: [&str; 3] = ["0", "0", "4294967295"];

/// Reads what this program may do; nothing where that does not show.
pub fn read_own_rights(kernel: &mut dyn Kernel) -> Option<Rights> {
    let status = kernel.read("self/status").ok()?;
    let rights = parse_rights(&String::from_utf8_lossy(&status))?;
    let map = kernel.read("self/uid_map").unwrap_or_default();
    let map = String::from_utf8_lossy(&map).into_owned();
    let yama = kernel.read("sys/kernel/yama/ptrace_scope").ok();
    Some(Rights {
        confined: !map.is_empty() && !map.split_ascii_whitespace().eq(EVERYTHING),
        yama: yama.and_then(|yama| String::from_utf8_lossy(&yama).trim().parse().ok()),
        ..rights
    })
}

/// The permitted capabilities count: borrowed ones are in force for single reads only.
fn parse_rights(status: &str) -> Option<Rights> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let capabilities = u64::from_str_radix(field("CapPrm:")?.trim(), 16).ok()?;
    let has = |number: u32| capabilities & (1 << number) != 0;
    let effective_uid = field("Uid:")?.split_ascii_whitespace().nth(1)?;
    Some(Rights {
        is_root: effective_uid == "0",
        ptrace: has(SYS_PTRACE),
        read_all: has(DAC_READ_SEARCH),
        confined: false,
        filtered: field("Seccomp:").is_some_and(|mode| mode.trim() == "2"),
        yama: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_from_the_status_of_a_process() {
        // docker, root without --cap-add
        let status = "Name:\tx\nUid:\t0\t0\t0\t0\nCapPrm:\t00000000a80425fb\nSeccomp:\t2\n";
        let rights = parse_rights(status).unwrap();
        assert!(rights.is_root && !rights.ptrace && !rights.read_all && rights.filtered);
        let host = "Uid:\t1000\t1000\t1000\t1000\nCapPrm:\t000001ffffffffff\nSeccomp:\t0\n";
        let rights = parse_rights(host).unwrap();
        assert!(!rights.is_root && rights.ptrace && rights.read_all && !rights.filtered);
        for other in ["", "Uid:\t0\t0\n", "CapPrm:\tzz\nUid:\t0\t0\n"] {
            assert_eq!(parse_rights(other), None);
        }
    }
}
