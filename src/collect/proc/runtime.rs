//! Recognises the language runtime or server a process runs.

use crate::model::{Runtime, Thread};

use super::elf::Elf;

/// Recognises by the executable, then by the names that runtimes give their threads.
pub(super) fn recognise(executable: &str, elf: Elf, threads: &[Thread]) -> Runtime {
    let has_thread = |prefixes: &[&str]| {
        threads.iter().any(|thread| {
            prefixes
                .iter()
                .any(|prefix| thread.command.starts_with(prefix))
        })
    };
    let name = executable.trim_end_matches(" (deleted)");
    let name = name.rsplit('/').next().unwrap_or_default();
    match name {
        "nginx" | "openresty" => Runtime::Nginx,
        "redis-server" | "valkey-server" | "redis-check-rdb" | "valkey-check-rdb" => Runtime::Redis,
        "haproxy" => Runtime::Haproxy,
        "node" | "nodejs" => Runtime::Node,
        // The kernel cuts thread names at 15 bytes.
        "java"
            if has_thread(&[
                "nioEventLoop",
                "epollEventLoop",
                "reactor-http",
                "vert.x-event",
            ]) =>
        {
            Runtime::Netty
        }
        "java" => Runtime::Java,
        _ if name.starts_with("python") || name.starts_with("pypy") => Runtime::Python,
        _ if elf.go => Runtime::Go,
        _ if has_thread(&["tokio-rt-worker", "tokio-runtime-w"]) => Runtime::Tokio,
        _ => Runtime::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Gap, Reading};

    fn thread(command: &str) -> Thread {
        Thread {
            tid: 1,
            command: command.to_owned(),
            state: Reading::Unknown(Gap::NotLookedAt),
            syscall: Reading::Unknown(Gap::NotLookedAt),
            polled_fds: None,
            wchan: Reading::Unknown(Gap::NotLookedAt),
        }
    }

    #[test]
    fn a_replaced_executable_is_still_recognised() {
        let runtime = recognise("/usr/sbin/nginx (deleted)", Elf::default(), &[]);
        assert_eq!(runtime, Runtime::Nginx);
    }

    #[test]
    fn threads_tell_netty_from_other_java_and_tokio_from_other_rust() {
        let netty = [thread("java"), thread("epollEventLoopG")];
        assert_eq!(
            recognise("/opt/jdk/bin/java", Elf::default(), &netty),
            Runtime::Netty
        );
        assert_eq!(
            recognise("/opt/jdk/bin/java", Elf::default(), &[]),
            Runtime::Java
        );
        let tokio = [thread("api"), thread("tokio-rt-worker")];
        assert_eq!(
            recognise("/srv/api", Elf::default(), &tokio),
            Runtime::Tokio
        );
        assert_eq!(recognise("/srv/api", Elf::default(), &[]), Runtime::Unknown);
    }
}
