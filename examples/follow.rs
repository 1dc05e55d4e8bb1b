//! Looks at all network namespaces once a second, and prints the verdict of each look and the findings.
//!
//! ```text
//! cargo run --example follow -- 10      # for ten seconds
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]
#![expect(
    clippy::disallowed_methods,
    reason = "the times of a program of its own"
)]

use std::path::Path;
use std::time::Duration;

use closewait_doctor::collect::kernel::LiveKernel;
use closewait_doctor::look::{self, LookError, LookOptions};
use closewait_doctor::model::Scope;

fn main() -> Result<(), LookError> {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let scope = Scope {
        all_netns: true,
        ..Scope::default()
    };
    let options = LookOptions {
        scope,
        ..LookOptions::default()
    };
    let mut kernel = LiveKernel::new(Path::new("/proc"));
    for _ in 0..seconds.unwrap_or(60) {
        let report = look::take(&mut kernel, &options)?.report(&jiff::Timestamp::now().to_string());
        println!(
            "{:?} in {} namespaces",
            report.verdict,
            report.namespaces.len()
        );
        for finding in &report.findings {
            println!(
                "  {} {}: {}",
                finding.subject.netns, finding.id, finding.headline
            );
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}
