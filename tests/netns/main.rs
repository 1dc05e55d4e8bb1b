//! The doctor on the real kernel: ordinary programs are brought into a condition in a private network namespace, and
//! the real binary has to find it, or, on healthy ones, nothing.
//!
//! Needs root or user namespaces, and `ip`, `ss`, `unshare`; some tests need nginx, redis, wrk, node, Python, Perl or
//! strace. What cannot run says `SKIPPED:` on stderr, and fails where `CLOSEWAIT_DOCTOR_TESTS_MUST_RUN=1`.
#![expect(
    clippy::disallowed_methods,
    reason = "clocks and files are read by what makes a condition, as by any server"
)]

mod accept_queue;
mod capabilities;
mod catalogue;
mod chains;
mod check;
mod check_formats;
mod close_wait;
mod dead_descriptors;
mod exporter;
mod faults;
mod halted;
mod healthy;
mod hidden_owners;
mod hostile;
mod incident;
mod limit;
mod mptcp;
mod namespaces;
mod one_end_closed;
#[cfg(feature = "bpf")]
mod owners;
mod privileges;
mod probe;
mod recording;
mod relieve;
mod rights;
mod scale;
mod soak;
mod support;
mod text;
#[cfg(feature = "trace")]
mod trace;
#[cfg(feature = "watch")]
mod watch;
mod words;
