//! What to do instead, where a method changed nothing. Pure.

use super::method::Method;
use super::outcome::ReliefOutcome;

/// Returns what to do instead of a method that changed nothing. `which` names the listener as the
/// command line does.
pub fn instead(outcome: ReliefOutcome, method: Option<Method>, which: &str) -> Vec<String> {
    if !outcome.changed_nothing() {
        return Vec::new();
    }
    let see = format!("see what the server waits for: closewait-doctor scan {which}");
    let drain = format!(
        "free the places of clients that have gone: closewait-doctor relieve {which} --method drain"
    );
    let restart = "restart the server: its queue is emptied, and waiting clients are reset";
    if outcome == ReliefOutcome::Failed {
        return vec![see];
    }
    match method {
        Some(Method::Rearm | Method::Level) => vec![see, drain, restart.to_owned()],
        Some(Method::Drain) => vec![
            see,
            format!(
                "close live clients as well: closewait-doctor relieve {which} --method drain --all"
            ),
            restart.to_owned(),
        ],
        Some(Method::CloseLeaked | Method::Continue | Method::Thaw) | None => vec![see],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_nothing_says_what_to_do_instead() {
        let told = |outcome, method| instead(outcome, Some(method), "--port 8080");
        assert!(!told(ReliefOutcome::Unchanged, Method::Rearm).is_empty());
        assert!(!told(ReliefOutcome::RolledBack, Method::Level).is_empty());
        assert!(!told(ReliefOutcome::Failed, Method::Level).is_empty());
        assert!(told(ReliefOutcome::Relieved, Method::Rearm).is_empty());
        assert!(told(ReliefOutcome::Planned, Method::Rearm).is_empty());
    }

    #[test]
    fn a_method_that_failed_is_not_advised_again() {
        let told = instead(ReliefOutcome::Unchanged, Some(Method::Drain), "--port 8080");
        assert!(told.iter().all(|line| !line.ends_with("--method drain")));
    }
}
