#![doc = include_str!("../../docs/findings/unattributed-close-wait.md")]

use super::{Check, Confidence, Finding, Rule, leaks};
use crate::correlate::{Leak, Picture, Trouble};
use crate::model::Reading;

pub(super) const RULE: Rule = Rule {
    id: "unattributed-close-wait",
    page: include_str!("../../docs/findings/unattributed-close-wait.md"),
    check: Check::Leak(check),
};

fn check(picture: &Picture, leak: &Leak) -> Option<Finding> {
    if leak.trouble != Trouble::Unattributed {
        return None;
    }
    let mut seen = leaks::evidence(picture, leak);
    let read = leak
        .connections
        .iter()
        .filter(|connection| connection.recv_q == 0)
        .count();
    seen.push(format!(
        "each has an inode, so each was accepted or opened; the end of the stream was read on \
         {read} of {}",
        leak.connections.len()
    ));
    let hidden = picture.snapshot.holders_complete != Reading::Known(());
    seen.push(if hidden {
        "not every process's descriptors could be read".to_owned()
    } else {
        "looked at: the descriptors of every process".to_owned()
    });
    Some(Finding {
        id: RULE.id,
        severity: leaks::severity(picture, leak),
        confidence: if hidden {
            Confidence::Possible
        } else {
            Confidence::Likely
        },
        subject: leaks::subject(leak),
        headline: format!(
            "{} closed by the peer, and no process is seen to hold {}",
            leaks::connections(leak),
            if leak.connections.len() == 1 {
                "it"
            } else {
                "them"
            },
        ),
        evidence: seen,
        conclusion: None,
        remedies: vec![if hidden {
            "run it again as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH".to_owned()
        } else {
            "look in other pid namespaces (run it on the host), and for io_uring and unix sockets \
             in flight; kernel consumers are NFS, iSCSI, nvme-tcp and the like"
                .to_owned()
        }],
        connections: leak.connections.len(),
    })
}
