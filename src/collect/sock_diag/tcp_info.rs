//! The few fields of `struct tcp_info` that the program uses, by offset.
//!
//! The struct only ever grows at its end, so a short one from an old kernel has the early fields.

use crate::model::{TcpAges, Traffic};

const LAST_DATA_SENT: usize = 44;
const LAST_DATA_RECV: usize = 52;
const LAST_ACK_RECV: usize = 56;
const BYTES_ACKED: usize = 120;
const BYTES_RECEIVED: usize = 128;

/// Reads the clocks; nothing where the struct is too short to hold them.
pub(super) fn decode_ages(info: &[u8]) -> Option<TcpAges> {
    let millis = |offset: usize| {
        let word = info.get(offset..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*word))
    };
    Some(TcpAges::from_millis(
        millis(LAST_DATA_SENT)?,
        millis(LAST_DATA_RECV)?,
        millis(LAST_ACK_RECV)?,
    ))
}

/// Reads the byte counters; nothing where the struct is too short to hold them (before Linux 4.1).
pub(super) fn decode_traffic(info: &[u8]) -> Option<Traffic> {
    let counter = |offset: usize| {
        let word = info.get(offset..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*word))
    };
    Some(Traffic::from_counters(
        counter(BYTES_RECEIVED)?,
        counter(BYTES_ACKED)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_that_ends_before_the_clocks_has_none() {
        assert_eq!(decode_ages(&[0; 59]), None);
        assert!(decode_ages(&[0; 60]).is_some());
    }

    #[test]
    fn byte_counters_are_read_where_the_struct_has_them() {
        assert_eq!(decode_traffic(&[0; 135]), None);
        let mut info = vec![0; 136];
        info[BYTES_ACKED] = 3;
        info[BYTES_RECEIVED] = 7;
        let traffic = decode_traffic(&info).unwrap();
        assert_eq!(
            (traffic.received_bytes(), traffic.acknowledged_bytes()),
            (7, 2)
        );
    }

    #[test]
    fn each_clock_is_read_from_its_own_field() {
        let mut info = vec![0; 104];
        info[LAST_DATA_SENT] = 1;
        info[LAST_DATA_RECV] = 2;
        info[LAST_ACK_RECV] = 3;
        assert_eq!(decode_ages(&info), Some(TcpAges::from_millis(1, 2, 3)));
    }
}
