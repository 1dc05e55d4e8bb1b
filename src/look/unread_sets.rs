//! Epoll sets of suspects that were not read to the end.

use crate::model::{BlindSpot, Gap, Process, Reading};

/// Returns the blind spot of sets that were not read, in processes that hold something suspicious. A set that was
/// closed meanwhile is none; one that may not be read is told with the threads of its process.
pub(super) fn unread_sets<'s>(suspects: impl Iterator<Item = &'s Process>) -> Option<BlindSpot> {
    let mut named = Vec::new();
    let mut why = None;
    for process in suspects {
        let sets = process.examination.iter().flat_map(|seen| &seen.epoll_sets);
        let (mut unread, mut all) = (0, 0);
        for set in sets {
            all += 1;
            if let Reading::Unknown(gap) = &set.watches
                && !matches!(gap, Gap::Vanished | Gap::NotPermitted | Gap::NotRecorded)
            {
                unread += 1;
                why = Some(*gap);
            }
        }
        if unread > 0 {
            let (command, pid) = (&process.command, process.pid);
            named.push(format!("{unread} of {all} epoll sets of {command}[{pid}]"));
        }
    }
    let gap = why?;
    Some(BlindSpot {
        what: named.join(", "),
        why: match gap {
            Gap::BudgetUsedUp => {
                "a look reads 500,000 registrations of a process, and only within its time"
                    .to_owned()
            }
            other => other.to_string(),
        },
        remedy: "none is known: /proc/PID/fdinfo/FD shows one set".to_owned(),
        hides_findings: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::fixtures::process;
    use crate::model::{EpollSet, EpollWatch};

    fn with_sets(watches: Vec<Reading<Vec<EpollWatch>>>) -> Process {
        let mut process = process(42);
        let sets = (3..).zip(watches);
        let sets = sets.map(|(fd, watches)| EpollSet { fd, watches }).collect();
        process
            .examination
            .as_mut()
            .expect("it is examined")
            .epoll_sets = sets;
        process
    }

    #[test]
    fn sets_that_were_cut_are_counted() {
        let cut = Reading::Unknown(Gap::BudgetUsedUp);
        let process = with_sets(vec![Reading::Known(Vec::new()), cut.clone(), cut]);
        let spot = unread_sets([&process].into_iter()).expect("two were not read");
        assert!(spot.what.starts_with("2 of 3 epoll sets of "), "{spot:?}");
    }

    #[test]
    fn sets_that_were_read_or_closed_are_no_blind_spot() {
        let closed = Reading::Unknown(Gap::Vanished);
        let process = with_sets(vec![Reading::Known(Vec::new()), closed]);
        assert_eq!(unread_sets([&process].into_iter()), None);
    }
}
