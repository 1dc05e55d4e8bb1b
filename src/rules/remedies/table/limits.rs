//! Where the limit of descriptors is set: many programs set it themselves.

use super::super::remedy::{LIMIT, Remedy, Topic, Whom, remedy, runtimes, servers};
use crate::model::{Runtime, Server};
use Topic::{ForGood, Now};

/// Programs that keep the limit they are started with. Others raise it to the hard limit themselves.
const AS_STARTED: Whom = Whom::Runtimes(&[
    Runtime::Unknown,
    Runtime::Rust,
    Runtime::Python,
    Runtime::Ruby,
    Runtime::Php,
    Runtime::Perl,
]);

pub(super) const REMEDIES: &[Remedy] = &[
    remedy(
        Now,
        &[LIMIT],
        &[],
        AS_STARTED,
        "right now: raise the limit of the running process\n$ prlimit --pid {pid} --nofile=SOFT:HARD",
    ),
    remedy(
        ForGood,
        &[LIMIT],
        &[],
        AS_STARTED,
        "for good: LimitNOFILE= of its systemd unit, or ulimit -n where it is started",
    ),
    remedy(
        ForGood,
        &[LIMIT],
        &[],
        Whom::Anyone,
        "for good: its own option for the number of connections, and a hard limit that allows it where it is \
         started",
    ),
    // Since 1.19 a program that imports os raises its soft limit to the hard one.
    limit(
        runtimes(&[Runtime::Go]),
        "Go: it raises its soft limit to the hard one by itself (since 1.19): raise the hard one",
    ),
    // HotSpot does unless it is told -XX:-MaxFDLimit.
    limit(
        runtimes(&[Runtime::Jvm]),
        "Java: the JVM raises its soft limit to the hard one by itself (-XX:+MaxFDLimit): raise the hard one",
    ),
    limit(
        runtimes(&[Runtime::Node]),
        "Node.js: server.maxConnections, below the limit, turns clients away instead; it has raised its soft \
         limit to the hard one",
    ),
    limit(
        runtimes(&[Runtime::DotNet]),
        ".NET: it raises its soft limit to the hard one by itself: raise the hard one",
    ),
    // https://www.erlang.org/doc/man/erl: +Q sets the most ports.
    limit(
        runtimes(&[Runtime::Beam]),
        "Erlang: +Q sets the most ports, sockets among them; the limit of descriptors is read once, at the start",
    ),
    limit(
        servers(&[Server::Nginx]),
        "nginx: worker_rlimit_nofile above worker_connections (which counts those to upstreams too), with room \
         for files; nginx -s reload applies it",
    ),
    limit(
        servers(&[Server::Haproxy]),
        "HAProxy: it derives the descriptors it needs from maxconn: set global maxconn rather than ulimit-n, \
         and a hard limit that allows it",
    ),
    limit(
        servers(&[Server::Redis]),
        "redis: maxclients, and 32 descriptors that it keeps for itself, have to fit into the limit",
    ),
    limit(
        servers(&[Server::Memcached]),
        "memcached: it sets its limit itself, from -c (maxconns): start it with a larger -c",
    ),
    limit(
        servers(&[Server::Mysql]),
        "MySQL: it sets its limit itself, from open_files_limit and max_connections",
    ),
    limit(
        servers(&[Server::Lighttpd]),
        "lighttpd: server.max-fds sets its limit, and server.max-connections bounds the clients",
    ),
    limit(
        servers(&[Server::PhpFpm]),
        "PHP-FPM: rlimit_files of the pool sets its limit",
    ),
    limit(servers(&[Server::Uwsgi]), "uWSGI: --max-fd sets its limit"),
    limit(
        servers(&[Server::Gunicorn]),
        "gunicorn: --worker-connections bounds the clients of a gthread or async worker",
    ),
    limit(
        servers(&[Server::Uvicorn]),
        "uvicorn: --limit-concurrency, below the limit, answers 503 instead",
    ),
];

const fn limit(whom: Whom, text: &'static str) -> Remedy {
    remedy(ForGood, &[LIMIT], &[], whom, text)
}
