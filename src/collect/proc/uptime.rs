//! How long the machine is up.

use std::time::Duration;

use crate::collect::kernel::Kernel;

/// Reads how long the machine has been up; the ages of processes are told by it.
pub fn read_uptime(kernel: &mut dyn Kernel) -> Option<Duration> {
    parse_uptime(&kernel.read("uptime").ok()?)
}

/// Reads the first number of `/proc/uptime`, in seconds.
fn parse_uptime(bytes: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(bytes).ok()?;
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_is_the_time_up() {
        let up = parse_uptime(b"350.25 600.00\n").unwrap();
        assert_eq!(up, Duration::from_millis(350_250));
        assert_eq!(parse_uptime(b"-1 0\n"), None);
        assert_eq!(parse_uptime(b""), None);
    }
}
