//! Servers that are libraries of a program: which of their options to set.

use super::super::facts::Claim;
use super::super::remedy::{BUSY, Remedy, UNCLOSED, UNREAD, UNWATCHED, Whom, code, servers};
use crate::model::Server;

const GUNICORN: Whom = servers(&[Server::Gunicorn]);
const BLOCKING_GUNICORN: Whom = Whom::BlockingServers(&[Server::Gunicorn]);
const UVICORN: Whom = servers(&[Server::Uvicorn]);

pub(super) const REMEDIES: &[Remedy] = &[
    // https://docs.gunicorn.org/en/stable/settings.html
    sync_worker(
        &[BUSY],
        "gunicorn: a sync worker serves one client at a time: --worker-class gthread with --threads, or an \
         async class; --timeout restarts workers that are stuck",
    ),
    sync_worker(
        &[UNREAD],
        "gunicorn: --worker-class gthread with --threads, or an async class, so that one slow client does not \
         keep others waiting; --timeout restarts workers that are stuck",
    ),
    // A gthread worker goes on telling the master that it lives: --timeout does not end it.
    Remedy {
        needs: &[Claim::ManyThreads],
        ..code(
            &[BUSY, UNREAD],
            BLOCKING_GUNICORN,
            "gunicorn: --threads is how many requests a gthread worker serves at once: a time limit for each of \
             their calls, then more --threads or --workers",
        )
    },
    code(
        &[UNCLOSED],
        GUNICORN,
        "gunicorn: --timeout restarts sync workers that are stuck in a request; --max-requests renews workers \
         that leak",
    ),
    // https://www.uvicorn.org/settings/
    code(
        &[BUSY, UNREAD],
        UVICORN,
        "uvicorn: nothing that blocks in `async def`: await asyncio.to_thread(..), or plain `def` where the \
         framework runs that in a thread",
    ),
    code(
        &[UNCLOSED],
        UVICORN,
        "uvicorn: give every await in a handler a deadline (asyncio.wait_for): it ends, and the connection with \
         it; --limit-max-requests renews workers that leak",
    ),
    // https://hypercorn.readthedocs.io and https://github.com/django/daphne
    code(
        &[BUSY, UNREAD, UNCLOSED],
        servers(&[Server::Hypercorn, Server::Daphne]),
        "in the code: nothing that blocks in `async def`: run it in a thread, and put a time limit around every \
         await",
    ),
    // https://uwsgi-docs.readthedocs.io/en/latest/Options.html
    code(
        &[BUSY, UNREAD, UNCLOSED],
        servers(&[Server::Uwsgi]),
        "uWSGI: --harakiri SECONDS ends workers whose request takes longer; --processes and --threads are how \
         many requests it serves at once",
    ),
    // https://tomcat.apache.org/tomcat-10.1-doc/config/http.html: at maxConnections its acceptor waits in a latch.
    code(
        &[BUSY, UNWATCHED],
        servers(&[Server::Tomcat]),
        "Tomcat: it accepts no more at maxConnections, and acceptCount only sizes the queue: find what its \
         threads wait for before raising either",
    ),
    code(
        &[UNREAD],
        servers(&[Server::Tomcat]),
        "Tomcat: maxThreads requests run at once: give each of their calls a time limit; connectionTimeout \
         bounds only the wait for a request",
    ),
    // https://jetty.org/docs/
    code(
        &[BUSY, UNWATCHED, UNREAD],
        servers(&[Server::Jetty]),
        "Jetty: its acceptors, selectors and requests share one QueuedThreadPool (maxThreads): give each call \
         of a request a time limit",
    ),
    code(
        &[BUSY, UNWATCHED, UNREAD],
        servers(&[Server::Undertow]),
        "Undertow: what blocks belongs into dispatch(), never on an I/O thread; worker-task-max-threads requests \
         run at once",
    ),
    // https://docs.oracle.com/en/java/javase/21/docs/api/jdk.httpserver/com/sun/net/httpserver/HttpServer.html
    code(
        &[BUSY, UNWATCHED, UNREAD],
        servers(&[Server::JdkHttp]),
        "com.sun.net.httpserver: without setExecutor() one thread serves all: give it a pool; \
         sun.net.httpserver.maxReqTime and maxRspTime (seconds) bound a request",
    ),
    // https://puma.io/puma/Puma/DSL.html
    code(
        &[BUSY, UNWATCHED, UNREAD],
        servers(&[Server::Puma]),
        "Puma: `threads` is how many requests a worker serves at once: a time limit for each of their calls \
         (open_timeout, read_timeout), then more `workers`",
    ),
    code(
        &[BUSY, UNREAD],
        servers(&[Server::Unicorn]),
        "Unicorn: a worker serves one client at a time, and `timeout` ends one that takes longer; \
         worker_processes is how many there are",
    ),
    // https://www.php.net/manual/en/install.fpm.configuration.php
    code(
        &[BUSY, UNREAD],
        servers(&[Server::PhpFpm]),
        "PHP-FPM: request_terminate_timeout ends requests that are stuck; pm.max_children is how many it serves \
         at once",
    ),
];

/// For a worker of gunicorn that serves one client after the other.
const fn sync_worker(finding: &'static [&'static str], text: &'static str) -> Remedy {
    Remedy {
        needs: &[Claim::SingleThread],
        ..code(finding, BLOCKING_GUNICORN, text)
    }
}
