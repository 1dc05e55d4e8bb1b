//! The port filter that the kernel runs for us (`INET_DIAG_REQ_BYTECODE`).

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

/// An operation is 4 bytes; a port comparison is followed by 4 more that hold the port.
const OP_BYTES: u8 = 4;
const COMPARE_BYTES: u8 = 8;
/// Two comparisons and the jump to acceptance.
const TEST_BYTES: u16 = 2 * COMPARE_BYTES as u16 + OP_BYTES as u16;

/// Builds a program that passes sockets with a port of the ranges on either end, or nothing where
/// there is nothing to filter or too much.
///
/// Each range becomes two tests, one an end: `port >= first`, `port <= last`, and a jump to the
/// end of the program, which accepts. A failed comparison goes on with the next test, and that of
/// the last test jumps 4 bytes beyond the end, which rejects.
pub(crate) fn bytecode(ports: &[PortRange]) -> Option<Vec<u8>> {
    if ports.is_empty() || ports.len() > MOST_RANGES {
        return None;
    }
    let tests: Vec<(u8, u8, PortRange)> = ports
        .iter()
        .flat_map(|range| [(SOURCE_GE, SOURCE_LE, *range), (DEST_GE, DEST_LE, *range)])
        .collect();
    let mut left = TEST_BYTES * u16::try_from(tests.len()).expect("at most 128 tests");
    let mut code = Vec::with_capacity(usize::from(left));
    for (at_least, at_most, range) in tests {
        let last = left == TEST_BYTES;
        let reject = |from: u16| {
            if last {
                from + 4
            } else {
                from - (left - TEST_BYTES)
            }
        };
        compare(&mut code, at_least, reject(left), range.first());
        compare(
            &mut code,
            at_most,
            reject(left - u16::from(COMPARE_BYTES)),
            range.last(),
        );
        let accept = left - 2 * u16::from(COMPARE_BYTES);
        operation(&mut code, JMP, OP_BYTES, accept);
        left -= TEST_BYTES;
    }
    Some(code)
}

/// `yes` and `no` are distances in bytes from the operation's own start.
fn operation(code: &mut Vec<u8>, opcode: u8, yes: u8, no: u16) {
    code.extend([opcode, yes]);
    code.extend(no.to_ne_bytes());
}

/// The port stands in the `no` field of the operation that follows the comparison.
fn compare(code: &mut Vec<u8>, opcode: u8, no: u16, port: u16) {
    operation(code, opcode, COMPARE_BYTES, no);
    operation(code, 0, 0, port);
}
