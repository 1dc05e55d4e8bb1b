//! Packaged programs: which directive to set.

use super::super::facts::Cause;
use super::super::remedy::{
    BUSY, INHERITED, Remedy, Topic, UNCLOSED, UNREAD, UNWATCHED, code, remedy, servers,
};
use crate::model::Server;

pub(super) const REMEDIES: &[Remedy] = &[
    // https://nginx.org/en/docs/http/ngx_http_core_module.html. A worker is one event loop. accept() that fails
    // with EMFILE disables the listeners for accept_mutex_delay.
    code(
        &[BUSY],
        servers(&[Server::Nginx]),
        "nginx: a worker serves all its clients in one thread: `aio threads` for slow disks, and nothing that \
         blocks in Lua, Perl or other modules",
    ),
    code(
        &[UNWATCHED],
        servers(&[Server::Nginx]),
        "nginx: it leaves its listeners out for a while when accept fails: `Too many open files` in its \
         error_log asks for worker_rlimit_nofile, `worker_connections are not enough` for worker_connections",
    ),
    code(
        &[UNREAD, UNCLOSED],
        servers(&[Server::Nginx]),
        "nginx: client_body_timeout, send_timeout and proxy_read_timeout bound its waits; \
         worker_shutdown_timeout ends the workers of an old configuration",
    ),
    // https://docs.haproxy.org/ A listener whose proxy, or the whole process, has maxconn connections is paused.
    code(
        &[BUSY],
        servers(&[Server::Haproxy]),
        "HAProxy: `show threads` and `show activity` on its stats socket say what its threads do",
    ),
    code(
        &[UNWATCHED],
        servers(&[Server::Haproxy]),
        "HAProxy: it stops accepting at maxconn, global or of the frontend: `show info` on its stats socket \
         has CurrConns beside Maxconn",
    ),
    code(
        &[UNREAD, UNCLOSED],
        servers(&[Server::Haproxy]),
        "HAProxy: timeout client-fin and timeout server-fin bound half-closed connections, timeout tunnel \
         upgraded ones; hard-stop-after ends the old process after a reload",
    ),
    // https://redis.io/docs/latest/operate/oss_and_stack/reference/clients/
    code(
        &[BUSY],
        servers(&[Server::Redis]),
        "redis: it runs one command at a time: SLOWLOG GET names the slow ones once it answers; SCAN instead of \
         KEYS, UNLINK instead of DEL of big keys, SCRIPT KILL for a script",
    ),
    code(
        &[UNREAD],
        servers(&[Server::Redis]),
        "redis: it runs one command at a time: SLOWLOG GET names the slow ones once it answers",
    ),
    code(
        &[UNCLOSED],
        servers(&[Server::Redis]),
        "redis: `timeout` closes idle clients; its default, 0, never does",
    ),
    // https://docs.memcached.org/serverguide/configuring/
    code(
        &[UNWATCHED],
        servers(&[Server::Memcached]),
        "memcached: at -c (maxconns) it stops accepting until a client goes: a larger -c, or \
         idle_timeout (-o) to end idle clients",
    ),
    code(
        &[UNREAD, UNCLOSED],
        servers(&[Server::Memcached]),
        "memcached: -o idle_timeout=SECONDS ends idle clients",
    ),
    // https://www.pgbouncer.org/config.html
    code(
        &[UNREAD, UNCLOSED, BUSY, UNWATCHED],
        servers(&[Server::PgBouncer]),
        "PgBouncer: query_wait_timeout bounds how long a client waits for a server; SHOW POOLS has cl_waiting \
         beside pool_size",
    ),
    // https://httpd.apache.org/docs/2.4/mod/mpm_common.html
    code(
        &[BUSY, UNWATCHED, UNREAD],
        servers(&[Server::Apache]),
        "Apache: Timeout and ProxyTimeout bound its waits; mod_status shows what every worker does; MaxRequestWorkers is \
         how many there are",
    ),
    // https://www.openssh.com/manual.html: the monitor and the session share the connection by design.
    code(
        &[INHERITED],
        servers(&[Server::Sshd]),
        "sshd: its processes share a connection by design and end together: find what the session waits for; \
         LoginGraceTime and ClientAliveInterval bound it",
    ),
    code(
        &[BUSY, UNREAD, UNCLOSED],
        servers(&[Server::Sshd]),
        "sshd: LoginGraceTime bounds a login, ClientAliveInterval with ClientAliveCountMax a session",
    ),
    // https://www.stunnel.org/static/stunnel.html
    code(
        &[UNREAD, UNCLOSED],
        servers(&[Server::Stunnel]),
        "stunnel: TIMEOUTclose and TIMEOUTidle bound its connections",
    ),
    // https://www.postgresql.org/docs/current/runtime-config-connection.html
    code(
        &[UNREAD, UNCLOSED],
        servers(&[Server::Postgres]),
        "PostgreSQL: a backend looks at its client between statements only: pg_stat_activity has what each waits \
         for (wait_event), pg_blocking_pids() who holds that; client_connection_check_interval, \
         statement_timeout and idle_in_transaction_session_timeout end such waits",
    ),
    // http://www.dest-unreach.org/socat/doc/socat.html
    code(
        &[BUSY, UNWATCHED],
        servers(&[Server::Socat]),
        "socat: at max-children it accepts no more until a child ends: find what the children wait for; -t and -T \
         bound their idle time",
    ),
    code(
        &[UNREAD, UNCLOSED],
        servers(&[Server::Socat]),
        "socat: -t bounds the wait after one side has ended, -T that of both sides",
    ),
    code(
        &[UNREAD, UNCLOSED],
        servers(&[Server::Tinyproxy]),
        "tinyproxy: Timeout bounds idle connections",
    ),
    // https://thekelleys.org.uk/dnsmasq/docs/dnsmasq-man.html: a child serves each client over TCP.
    remedy(
        Topic::Code,
        &[UNWATCHED],
        &[Cause::Supervisor, Cause::LeftOut],
        servers(&[Server::Dnsmasq]),
        "dnsmasq: it serves 20 clients over TCP at most, a child each: find what the children wait for, an \
         upstream server as a rule",
    ),
];
