//! A remedy in the language of the software that needs it: which directive, which call.

use crate::model::{Process, Runtime};

use Ailment::{Busy, LostEdge, NoDescriptors, Unclosed, Unread, Unwatched};
use Software::{Go, Gunicorn, Haproxy, Java, Netty, Nginx, Node, Python, Redis, Tokio, Uvicorn};

/// What the process has to be rid of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ailment {
    /// What accepts does something else.
    Busy,
    /// Its event loop is idle and leaves the listener out.
    Unwatched,
    /// Its event loop sleeps on an edge that was used up.
    LostEdge,
    /// It has no descriptor left.
    NoDescriptors,
    /// It does not read a connection to its end.
    Unread,
    /// It has read a connection to its end and does not close it.
    Unclosed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Software {
    Go,
    Gunicorn,
    Haproxy,
    Java,
    Netty,
    Nginx,
    Node,
    Python,
    Redis,
    Tokio,
    Uvicorn,
}

/// What a process that was recognised calls the remedy.
pub(super) fn remedy(process: &Process, ailment: Ailment) -> Option<String> {
    let software = software(process)?;
    REMEDIES
        .iter()
        .find(|(whose, what, _)| (*whose, *what) == (software, ailment))
        .map(|(.., remedy)| (*remedy).to_owned())
}

fn software(process: &Process) -> Option<Software> {
    Some(match process.examination.as_ref()?.runtime {
        Runtime::Go => Go,
        Runtime::Haproxy => Haproxy,
        Runtime::Java => Java,
        Runtime::Netty => Netty,
        Runtime::Nginx => Nginx,
        Runtime::Node => Node,
        Runtime::Python => python_server(process),
        Runtime::Redis => Redis,
        Runtime::Tokio => Tokio,
        Runtime::Unknown => return None,
    })
}

/// Which server a Python process runs. gunicorn with uvicorn's workers has uvicorn's event loop.
fn python_server(process: &Process) -> Software {
    let command_line = process.command_line.known().map_or("", String::as_str);
    if command_line.contains("uvicorn") {
        Uvicorn
    } else if command_line.contains("gunicorn") {
        Gunicorn
    } else {
        Python
    }
}

const REMEDIES: &[(Software, Ailment, &str)] = &[
    // A worker is one event loop. accept() that fails with EMFILE disables the listeners for
    // accept_mutex_delay; listeners are never edge-triggered.
    (
        Nginx,
        Busy,
        "nginx: a worker serves all its clients in one thread: `aio threads` for slow disks, and \
         nothing that blocks in Lua, Perl or other modules",
    ),
    (
        Nginx,
        Unwatched,
        "nginx: it leaves its listeners out for a while when accept fails: `Too many open files` \
         in its error_log asks for worker_rlimit_nofile, `worker_connections are not enough` for \
         worker_connections",
    ),
    (
        Nginx,
        NoDescriptors,
        "nginx: worker_rlimit_nofile above worker_connections (which counts those to upstreams \
         too), with room for files; nginx -s reload applies it",
    ),
    (
        Nginx,
        Unread,
        "nginx: client_body_timeout, send_timeout and proxy_read_timeout bound its waits; \
         worker_shutdown_timeout ends the workers of an old configuration",
    ),
    (
        Nginx,
        Unclosed,
        "nginx: send_timeout and proxy_read_timeout bound its waits; worker_shutdown_timeout ends \
         the workers of an old configuration",
    ),
    // A listener whose proxy, or the whole process, has maxconn connections is paused.
    (
        Haproxy,
        Busy,
        "HAProxy: `show threads` and `show activity` on its stats socket say what its threads do",
    ),
    (
        Haproxy,
        Unwatched,
        "HAProxy: it stops accepting at maxconn, global or of the frontend: `show info` on its \
         stats socket has CurrConns beside Maxconn",
    ),
    (
        Haproxy,
        NoDescriptors,
        "HAProxy: it derives the descriptors it needs from maxconn: set global maxconn rather than \
         ulimit-n, and a hard limit that allows it",
    ),
    (
        Haproxy,
        Unread,
        "HAProxy: timeout client-fin and timeout server-fin bound half-closed connections, timeout \
         tunnel upgraded ones; hard-stop-after ends the old process after a reload",
    ),
    (
        Haproxy,
        Unclosed,
        "HAProxy: timeout client-fin and timeout server-fin bound half-closed connections, timeout \
         tunnel upgraded ones; hard-stop-after ends the old process after a reload",
    ),
    // Commands run one after the other. Above maxclients it accepts, and closes. It keeps 32
    // descriptors for itself.
    (
        Redis,
        Busy,
        "redis: it runs one command at a time: SLOWLOG GET names the slow ones once it answers; \
         SCAN instead of KEYS, UNLINK instead of DEL of big keys, SCRIPT KILL for a script",
    ),
    (
        Redis,
        NoDescriptors,
        "redis: maxclients, and 32 descriptors that it keeps for itself, have to fit into the limit",
    ),
    (
        Redis,
        Unread,
        "redis: it runs one command at a time: SLOWLOG GET names the slow ones once it answers",
    ),
    (
        Redis,
        Unclosed,
        "redis: `timeout` closes idle clients; its default, 0, never does",
    ),
    // Above server.maxConnections it accepts, and closes.
    (
        Node,
        Busy,
        "Node.js: never block the event loop: no *Sync call, long computation or endless regular \
         expression in a callback; worker_threads are for those",
    ),
    (
        Node,
        Unwatched,
        "Node.js: limit connections with server.maxConnections, which closes those above it, \
         rather than by not listening",
    ),
    (
        Node,
        NoDescriptors,
        "Node.js: server.maxConnections, below the limit, turns clients away instead",
    ),
    (
        Node,
        Unread,
        "Node.js: a paused stream does not see its end: resume() or destroy() it on every path, \
         and destroy() it in the callback of socket.setTimeout()",
    ),
    (
        Node,
        Unclosed,
        "Node.js: with allowHalfOpen: true the program has to call end() on 'end' itself",
    ),
    (
        Gunicorn,
        Busy,
        "gunicorn: a sync worker serves one client at a time: --worker-class gthread with \
         --threads, or an async class; --timeout restarts workers that are stuck",
    ),
    (
        Gunicorn,
        NoDescriptors,
        "gunicorn: --worker-connections bounds the clients of a gthread or async worker",
    ),
    (
        Gunicorn,
        Unread,
        "gunicorn: --worker-class gthread with --threads, or an async class, so that one slow \
         client does not keep others waiting; --timeout restarts workers that are stuck",
    ),
    (
        Gunicorn,
        Unclosed,
        "gunicorn: --timeout restarts sync workers that are stuck in a request; --max-requests \
         renews workers that leak",
    ),
    (
        Uvicorn,
        Busy,
        "uvicorn: nothing that blocks in `async def`: await asyncio.to_thread(..), or plain `def` \
         where the framework runs that in a thread",
    ),
    (
        Uvicorn,
        Unwatched,
        "uvicorn: asyncio leaves the listener out for a second when accept fails with EMFILE",
    ),
    (
        Uvicorn,
        NoDescriptors,
        "uvicorn: --limit-concurrency, below the limit, answers 503 instead",
    ),
    (
        Uvicorn,
        Unread,
        "uvicorn: nothing that blocks in `async def`: await asyncio.to_thread(..)",
    ),
    (
        Uvicorn,
        Unclosed,
        "uvicorn: give every await in a handler a deadline (asyncio.wait_for): it ends, and the \
         connection with it; --limit-max-requests renews workers that leak",
    ),
    (
        Python,
        Busy,
        "Python: settimeout() on every socket; in asyncio, await asyncio.to_thread(..) for what \
         blocks: PYTHONASYNCIODEBUG=1 logs callbacks that take longer than 100 ms",
    ),
    (
        Python,
        Unwatched,
        "Python: asyncio leaves the listener out for a second when accept fails with EMFILE",
    ),
    (
        Python,
        Unread,
        "Python: settimeout() on every socket, asyncio.wait_for(..) around every read",
    ),
    (
        Python,
        Unclosed,
        "Python: `with` around sockets and responses, and writer.close() in a `finally`",
    ),
    // netutil.LimitListener takes its semaphore before it accepts. Since 1.19 a program that
    // imports os raises its soft limit to the hard one.
    (
        Go,
        Busy,
        "Go: goroutine?debug=2 of net/http/pprof says where every goroutine is, and leaves the \
         process alive",
    ),
    (
        Go,
        LostEdge,
        "Go: a semaphore taken before Accept, as netutil.LimitListener does, keeps clients \
         waiting: release it with defer, and bound its holders: SetReadDeadline, or ReadTimeout, \
         WriteTimeout and IdleTimeout of http.Server",
    ),
    (
        Go,
        NoDescriptors,
        "Go: it raises its soft limit to the hard one by itself (since 1.19): raise the hard one",
    ),
    (
        Go,
        Unread,
        "Go: SetReadDeadline before every Read; in clients `defer resp.Body.Close()` as soon as \
         there is no error, whether the body is read or not",
    ),
    (
        Go,
        Unclosed,
        "Go: `defer conn.Close()` where it is accepted; in clients `defer resp.Body.Close()` as \
         soon as there is no error",
    ),
    (
        Tokio,
        Busy,
        "tokio: tokio::task::spawn_blocking for what blocks or computes long, and no \
         std::sync::Mutex that others hold for long",
    ),
    (
        Tokio,
        LostEdge,
        "tokio: move an OwnedSemaphorePermit (acquire_owned) into the task, so that it is given \
         back on every path, and bound the task with tokio::time::timeout",
    ),
    (
        Tokio,
        NoDescriptors,
        "tokio: `accept().await?` ends the accept loop at the first EMFILE: wait a little and go on",
    ),
    (
        Tokio,
        Unread,
        "tokio: tokio::time::timeout around every read and write",
    ),
    (
        Tokio,
        Unclosed,
        "tokio: drop the stream, both halves of it, when read returns 0; copy_bidirectional waits \
         for the ends of both directions",
    ),
    // At maxConnections Tomcat's acceptor waits in a latch. HotSpot raises its soft limit to the
    // hard one, unless it is told -XX:-MaxFDLimit.
    (
        Java,
        Busy,
        "Java: Tomcat accepts no more at maxConnections, and acceptCount only sizes the queue: \
         find in the jstack what its threads wait for before raising either",
    ),
    (
        Java,
        Unwatched,
        "Java: Tomcat accepts no more at maxConnections, and acceptCount only sizes the queue: \
         find what holds the accepted connections before raising either",
    ),
    (
        Java,
        NoDescriptors,
        "Java: the JVM raises its soft limit to the hard one by itself (-XX:+MaxFDLimit): raise \
         the hard one",
    ),
    (
        Java,
        Unread,
        "Java: setSoTimeout() on every socket; an idle timeout and eviction in connection pools",
    ),
    (
        Java,
        Unclosed,
        "Java: try-with-resources around sockets, streams and responses",
    ),
    // With autoRead off neither data nor the end wakes the channel.
    (
        Netty,
        Busy,
        "Netty: never block the event loop: an EventExecutorGroup of its own for handlers that do",
    ),
    (
        Netty,
        Unwatched,
        "Netty: setAutoRead(true) on the server channel again, on every path that ends a pause",
    ),
    (
        Netty,
        LostEdge,
        "Netty: setAutoRead(true) on the server channel again, on every path that ends a pause",
    ),
    (
        Netty,
        NoDescriptors,
        "Netty: the JVM raises its soft limit to the hard one by itself (-XX:+MaxFDLimit): raise \
         the hard one",
    ),
    (
        Netty,
        Unread,
        "Netty: with autoRead off a close is not seen: setAutoRead(true) or read() on every path, \
         and an IdleStateHandler",
    ),
    (
        Netty,
        Unclosed,
        "Netty: with ALLOW_HALF_CLOSURE the program has to close on ChannelInputShutdownEvent \
         itself",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Examination, Gap, Reading};

    fn process(runtime: Runtime, command_line: &str) -> Process {
        Process {
            pid_inside: None,
            pid: 1,
            command: "server".to_owned(),
            command_line: Reading::Known(command_line.to_owned()),
            parent: Reading::Unknown(Gap::NotLookedAt),
            group: Reading::Unknown(Gap::NotLookedAt),
            session: Reading::Unknown(Gap::NotLookedAt),
            started_ticks: Reading::Unknown(Gap::NotLookedAt),
            state: Reading::Unknown(Gap::NotLookedAt),
            open_fds: Reading::Unknown(Gap::NotLookedAt),
            lowest_free_fd: Reading::Unknown(Gap::NotLookedAt),
            fd_limit: Reading::Unknown(Gap::NotLookedAt),
            examination: Some(Examination {
                threads: Reading::Unknown(Gap::NotLookedAt),
                epoll_sets: Vec::new(),
                io_urings: Vec::new(),
                frozen: Reading::Unknown(Gap::NotLookedAt),
                runtime,
                compat: false,
                executable: Reading::Unknown(Gap::NotLookedAt),
                descriptors: Vec::new(),
                descriptors_complete: false,
            }),
        }
    }

    fn says(process: &Process, ailment: Ailment, part: &str) -> bool {
        remedy(process, ailment).is_some_and(|remedy| remedy.contains(part))
    }

    #[test]
    fn every_software_has_one_remedy_at_most_for_each_ailment() {
        for (index, (software, ailment, _)) in REMEDIES.iter().enumerate() {
            let others = &REMEDIES[index + 1..];
            let again = others
                .iter()
                .any(|(whose, what, _)| (whose, what) == (software, ailment));
            assert!(!again, "{software:?} {ailment:?}");
        }
    }

    #[test]
    fn every_software_knows_a_remedy_for_a_busy_acceptor_and_for_both_leaks() {
        for runtime in [
            Runtime::Go,
            Runtime::Haproxy,
            Runtime::Java,
            Runtime::Netty,
            Runtime::Nginx,
            Runtime::Node,
            Runtime::Python,
            Runtime::Redis,
            Runtime::Tokio,
        ] {
            for ailment in [Busy, Unread, Unclosed] {
                let found = remedy(&process(runtime, "server"), ailment);
                assert!(found.is_some(), "{runtime:?} {ailment:?}");
            }
        }
    }

    #[test]
    fn a_python_server_is_told_by_its_command_line() {
        let server = |command_line| process(Runtime::Python, command_line);
        let gunicorn = server("python3 /usr/bin/gunicorn app:app");
        assert!(says(&gunicorn, Busy, "--worker-class"));
        let uvicorn = server("python3 -m uvicorn app:app");
        assert!(says(&uvicorn, NoDescriptors, "--limit-concurrency"));
        let both = server("gunicorn app:app -k uvicorn.workers.UvicornWorker");
        assert!(says(&both, Busy, "async def"));
        assert!(says(&server("python3 server.py"), Busy, "settimeout"));
    }

    #[test]
    fn what_is_not_recognised_gets_no_advice() {
        assert_eq!(remedy(&process(Runtime::Unknown, "nginx"), Busy), None);
        let unexamined = Process {
            examination: None,
            ..process(Runtime::Nginx, "nginx")
        };
        assert_eq!(remedy(&unexamined, Busy), None);
    }
}
