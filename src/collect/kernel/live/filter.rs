//! The filter that the kernel runs for us (`INET_DIAG_REQ_BYTECODE`).

use crate::model::PortRange;

/// Above this many ranges the kernel's quadratic audit of the program costs more than sorting the
/// sockets out on our side.
const MOST_RANGES: usize = 64;

/// Opcodes of `linux/inet_diag.h`.
const JMP: u8 = 1;
const SOURCE_GE: u8 = 2;
const SOURCE_LE: u8 = 3;
const DEST_GE: u8 = 4;
const DEST_LE: u8 = 5;
const CGROUP: u8 = 13;

/// An operation is 4 bytes; a port comparison is followed by 4 more that hold the port, a cgroup
/// comparison by 8 that hold the id.
const OP_BYTES: u8 = 4;
const PORT_BYTES: u8 = OP_BYTES + 4;
const CGROUP_BYTES: u8 = OP_BYTES + 8;
/// Two comparisons and the jump to acceptance.
const TEST_BYTES: u16 = 2 * PORT_BYTES as u16 + OP_BYTES as u16;
/// The cgroup comparison and the jump to rejection.
const FULL_SOCKET_BYTES: u16 = CGROUP_BYTES as u16 + OP_BYTES as u16;
/// A jump this far beyond the end rejects; one just to the end accepts.
const REJECT: u16 = 4;

/// Builds a program that passes sockets with a port of the ranges on either end, and, where only
/// full sockets are wanted, no remainders of closed ones. Nothing where there is nothing to
/// filter, or too much.
///
/// Each range becomes two tests, one an end: `port >= first`, `port <= last`, and a jump to the
/// end of the program. A failed comparison goes on with the next test, and the last one's rejects.
pub(super) fn bytecode(ports: &[PortRange], full_sockets_only: bool) -> Option<Vec<u8>> {
    let ports = if ports.len() > MOST_RANGES {
        &[]
    } else {
        ports
    };
    let tests: Vec<(u8, u8, PortRange)> = ports
        .iter()
        .flat_map(|range| [(SOURCE_GE, SOURCE_LE, *range), (DEST_GE, DEST_LE, *range)])
        .collect();
    let mut left = TEST_BYTES * u16::try_from(tests.len()).expect("at most 128 tests");
    let mut code = Vec::new();
    if full_sockets_only {
        full_sockets(&mut code, left);
    }
    for (at_least, at_most, range) in tests {
        let last = left == TEST_BYTES;
        let fail = |from: u16| {
            if last {
                from + REJECT
            } else {
                from - (left - TEST_BYTES)
            }
        };
        port(&mut code, at_least, fail(left), range.first());
        port(
            &mut code,
            at_most,
            fail(left - u16::from(PORT_BYTES)),
            range.last(),
        );
        operation(&mut code, JMP, OP_BYTES, left - 2 * u16::from(PORT_BYTES));
        left -= TEST_BYTES;
    }
    (!code.is_empty()).then_some(code)
}

/// Only a full socket has a cgroup; what is left of a closed one, in `TIME_WAIT` or in
/// `FIN_WAIT2`, shows the id 0, which no cgroup has.
fn full_sockets(code: &mut Vec<u8>, rest: u16) {
    operation(code, CGROUP, CGROUP_BYTES, FULL_SOCKET_BYTES);
    code.extend(0_u64.to_ne_bytes());
    operation(code, JMP, OP_BYTES, u16::from(OP_BYTES) + rest + REJECT);
}

/// `yes` and `no` are distances in bytes from the operation's own start.
fn operation(code: &mut Vec<u8>, opcode: u8, yes: u8, no: u16) {
    code.extend([opcode, yes]);
    code.extend(no.to_ne_bytes());
}

/// The port stands in the `no` field of the operation that follows the comparison.
fn port(code: &mut Vec<u8>, opcode: u8, no: u16, port: u16) {
    operation(code, opcode, PORT_BYTES, no);
    operation(code, 0, 0, port);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does (`inet_diag_bc_run`).
    fn passes(code: &[u8], source: u16, dest: u16, cgroup: u64) -> bool {
        let mut at = 0;
        while at < code.len() {
            let word = |from: usize| u16::from_ne_bytes([code[from], code[from + 1]]);
            let argument = |from: usize| word(from + 6);
            let holds = match code[at] {
                JMP => false,
                SOURCE_GE => source >= argument(at),
                SOURCE_LE => source <= argument(at),
                DEST_GE => dest >= argument(at),
                DEST_LE => dest <= argument(at),
                CGROUP => cgroup == u64::from_ne_bytes(*code[at + 4..].first_chunk().unwrap()),
                other => panic!("operation {other}"),
            };
            let step = if holds {
                code[at + 1].into()
            } else {
                word(at + 2)
            };
            at += usize::from(step);
        }
        at == code.len()
    }

    fn ranges(texts: &[&str]) -> Vec<PortRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_port_of_the_ranges_passes_on_either_end() {
        let code = bytecode(&ranges(&["80", "8000-8099"]), false).unwrap();
        for port in [80, 8000, 8050, 8099] {
            assert!(
                passes(&code, port, 1, 1) && passes(&code, 1, port, 1),
                "{port}"
            );
        }
        for port in [79, 81, 7999, 8100] {
            assert!(!passes(&code, port, port, 1), "{port}");
        }
    }

    #[test]
    fn what_is_left_of_a_closed_socket_does_not_pass() {
        for ports in [ranges(&[]), ranges(&["80", "90"])] {
            let code = bytecode(&ports, true).unwrap();
            assert!(passes(&code, 80, 1, 7));
            assert!(!passes(&code, 80, 1, 0));
        }
    }

    #[test]
    fn nothing_to_filter_is_no_program() {
        assert_eq!(bytecode(&[], false), None);
        let many: Vec<PortRange> = (1..100).map(PortRange::from).collect();
        assert_eq!(bytecode(&many, false), None);
    }
}
