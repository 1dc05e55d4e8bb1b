//! What the looking program itself may do.

/// What the looking program may do, where something was refused to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a right of its own")]
pub struct Rights {
    /// Whether it runs as root.
    pub is_root: bool,
    /// Whether it has `CAP_SYS_PTRACE`.
    pub ptrace: bool,
    /// Whether it has `CAP_DAC_READ_SEARCH`.
    pub read_all: bool,
    /// Whether it is in a user namespace below the first: root there is root over what is in it only.
    pub confined: bool,
    /// Whether a seccomp filter decides which system calls it may make.
    pub filtered: bool,
    /// `kernel.yama.ptrace_scope`; 3 forbids to attach to anything.
    pub yama: Option<u8>,
}

impl Rights {
    /// What is missing and how to get it, if nothing is known of the program's own rights.
    pub const USUAL: &str = "run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";

    /// Says what is missing, why, and how to get it.
    pub fn what_helps(self) -> String {
        if !self.is_root && !self.ptrace {
            return Self::USUAL.to_owned();
        }
        if self.confined {
            return "this program is in a user namespace, where root is root over what is in it only: run it \
                    outside, on the host"
                .to_owned();
        }
        let lacks: Vec<&str> = [
            (self.ptrace, "CAP_SYS_PTRACE"),
            (self.read_all, "CAP_DAC_READ_SEARCH"),
        ]
        .into_iter()
        .filter_map(|(has, name)| (!has).then_some(name))
        .collect();
        if !lacks.is_empty() {
            return format!(
                "it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, and this program lacks {}, as in a container: \
                 give it (docker run --cap-add, securityContext.capabilities), or run it on the host",
                lacks.join(" and ")
            );
        }
        match (self.yama, self.filtered) {
            (Some(3), _) => "kernel.yama.ptrace_scope is 3, which no privilege overrides until the next boot".to_owned(),
            (_, true) => "this program has the privileges, and a seccomp filter may refuse it the call: run it on the \
                          host, or with --security-opt seccomp=unconfined"
                .to_owned(),
            (_, false) => "this program has the privileges: a security module or the owner of another user namespace \
                           refuses it"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Rights = Rights {
        is_root: true,
        ptrace: true,
        read_all: true,
        confined: false,
        filtered: false,
        yama: Some(1),
    };

    #[test]
    fn root_is_never_told_to_be_root() {
        let lacking = Rights {
            ptrace: false,
            ..ROOT
        };
        let confined = Rights {
            confined: true,
            ..ROOT
        };
        let filtered = Rights {
            filtered: true,
            ..ROOT
        };
        let locked = Rights {
            yama: Some(3),
            ..ROOT
        };
        for (rights, names) in [
            (ROOT, "security module"),
            (lacking, "lacks CAP_SYS_PTRACE, as"),
            (confined, "user namespace"),
            (filtered, "seccomp"),
            (locked, "ptrace_scope"),
        ] {
            let told = rights.what_helps();
            assert!(told.contains(names) && !told.contains("as root"), "{told}");
        }
    }

    #[test]
    fn whoever_is_not_root_is_told_to_be() {
        let user = Rights {
            is_root: false,
            ptrace: false,
            read_all: false,
            ..ROOT
        };
        assert_eq!(user.what_helps(), Rights::USUAL);
    }
}
