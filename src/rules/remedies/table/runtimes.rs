//! Languages and event libraries: which call to use.

use super::super::facts::Cause;
use super::super::remedy::{
    BUSY, EDGE, INHERITED, Remedy, Topic, UNCLOSED, UNREAD, UNWATCHED, Whom, code, libraries,
    remedy, runtimes,
};
use crate::model::{Library, Runtime};

/// A thread that works or blocks, which advice on deadlines can help. A wait in the kernel is none.
const WORKING: &[Cause] = &[
    Cause::Descriptor,
    Cause::Nap,
    Cause::Computes,
    Cause::Lock,
    Cause::Elsewhere,
    Cause::LoopBusy,
];

pub(super) const REMEDIES: &[Remedy] = &[
    // https://pkg.go.dev/net and golang.org/x/net/netutil, whose LimitListener takes its semaphore before it
    // accepts.
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        runtimes(&[Runtime::Go]),
        "Go: give every wait a limit: SetDeadline on connections, a context with a timeout for calls",
    ),
    code(
        &[EDGE, UNWATCHED],
        runtimes(&[Runtime::Go]),
        "Go: a semaphore taken before Accept, as netutil.LimitListener does, keeps clients waiting: release it \
         with defer, and bound its holders: SetReadDeadline, or ReadTimeout, WriteTimeout and IdleTimeout of \
         http.Server",
    ),
    not_working(
        runtimes(&[Runtime::Go]),
        "Go: SetReadDeadline before every Read; in clients `defer resp.Body.Close()` as soon as there is no \
         error, whether the body is read or not",
    ),
    code(
        &[UNCLOSED],
        runtimes(&[Runtime::Go]),
        "Go: `defer conn.Close()` where it is accepted; in clients `defer resp.Body.Close()` as soon as there \
         is no error",
    ),
    // https://docs.rs/tokio
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        libraries(&[Library::Tokio]),
        "tokio: tokio::task::spawn_blocking for what blocks or computes long, and no std::sync::Mutex that \
         others hold for long",
    ),
    code(
        &[EDGE, UNWATCHED],
        libraries(&[Library::Tokio]),
        "tokio: move an OwnedSemaphorePermit (acquire_owned) into the task, so that it is given back on every \
         path, and bound the task with tokio::time::timeout",
    ),
    not_working(
        libraries(&[Library::Tokio]),
        "tokio: tokio::time::timeout around every read and write",
    ),
    code(
        &[UNCLOSED],
        libraries(&[Library::Tokio]),
        "tokio: drop the stream, both halves of it, when read returns 0; copy_bidirectional waits for the ends \
         of both directions",
    ),
    // https://docs.oracle.com/en/java/javase/21/docs/api/
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        runtimes(&[Runtime::Jvm]),
        "Java: a time limit for every wait: setSoTimeout() on sockets, a connect and read timeout of clients, \
         the timeout of a connection pool",
    ),
    not_working(
        runtimes(&[Runtime::Jvm]),
        "Java: a time limit for every read of a connection; an idle timeout and eviction in connection pools",
    ),
    code(
        &[UNCLOSED],
        runtimes(&[Runtime::Jvm]),
        "Java: try-with-resources around sockets, streams and responses",
    ),
    // https://netty.io/4.1/api/: with autoRead off neither data nor the end wakes the channel.
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        libraries(&[Library::Netty, Library::NettyEpoll]),
        "Netty: never block the event loop: an EventExecutorGroup of its own for handlers that do",
    ),
    code(
        &[EDGE, UNWATCHED],
        libraries(&[Library::Netty, Library::NettyEpoll]),
        "Netty: setAutoRead(true) on the server channel again, on every path that ends a pause",
    ),
    not_working(
        libraries(&[Library::Netty, Library::NettyEpoll]),
        "Netty: with autoRead off a close is not seen: setAutoRead(true) or read() on every path, and an \
         IdleStateHandler",
    ),
    code(
        &[UNCLOSED],
        libraries(&[Library::Netty, Library::NettyEpoll]),
        "Netty: with ALLOW_HALF_CLOSURE the program has to close on ChannelInputShutdownEvent itself",
    ),
    // https://nodejs.org/api/net.html
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        runtimes(&[Runtime::Node]),
        "Node.js: never block the event loop: no *Sync call, long computation or endless regular expression in \
         a callback; worker_threads are for those",
    ),
    code(
        &[UNWATCHED],
        runtimes(&[Runtime::Node]),
        "Node.js: limit connections with server.maxConnections, which closes those above it, rather than by not \
         listening",
    ),
    remedy(
        Topic::Code,
        &[UNREAD],
        &[Cause::LeftOut, Cause::NoInput],
        runtimes(&[Runtime::Node]),
        "Node.js: call resume() or destroy() on a stream on every path, and destroy() in the callback of \
         socket.setTimeout()",
    ),
    code(
        &[UNCLOSED],
        runtimes(&[Runtime::Node]),
        "Node.js: with allowHalfOpen: true the program has to call end() on 'end' itself",
    ),
    // https://docs.python.org/3/library/socket.html and asyncio-dev.html
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        &[Cause::Descriptor, Cause::NoLoop],
        runtimes(&[Runtime::Python]),
        "Python: a time limit for each wait: settimeout() of the socket it waits on, timeout= of requests and \
         database clients",
    ),
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        libraries(&[Library::Asyncio, Library::Uvloop]),
        "asyncio: await asyncio.to_thread(..) for what blocks: PYTHONASYNCIODEBUG=1 logs callbacks that take \
         longer than 100 ms",
    ),
    not_working(
        libraries(&[Library::Asyncio, Library::Uvloop]),
        "asyncio: asyncio.timeout() or wait_for() around every read",
    ),
    code(
        &[UNCLOSED],
        libraries(&[Library::Asyncio, Library::Uvloop]),
        "asyncio: writer.close() in a `finally`, and a time limit around every await of a handler",
    ),
    // https://www.gevent.org/api/gevent.timeout.html and gevent.baseserver.html: a server with a pool stops
    // accepting while the pool is full.
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        libraries(&[Library::Gevent]),
        "gevent: nothing may block the hub: patch with gevent.monkey before other imports; gevent.Timeout \
         around every wait",
    ),
    code(
        &[UNWATCHED],
        libraries(&[Library::Gevent]),
        "gevent: a server stops accepting while its pool (spawn=) is full: gevent.Timeout in each handler, so \
         that places come free",
    ),
    not_working(
        libraries(&[Library::Gevent]),
        "gevent: gevent.Timeout around every wait of a handler, so that it comes to read and close",
    ),
    // https://eventlet.readthedocs.io/en/stable/modules/timeout.html and basic_usage.html: serve() takes
    // `concurrency`, 1000 by default.
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        libraries(&[Library::Eventlet]),
        "eventlet: nothing may block the hub: eventlet.monkey_patch() before other imports; eventlet.Timeout \
         around every wait",
    ),
    code(
        &[UNWATCHED],
        libraries(&[Library::Eventlet]),
        "eventlet: a server stops accepting while its pool (concurrency=, custom_pool=) is full: \
         eventlet.Timeout in each handler, so that places come free",
    ),
    not_working(
        libraries(&[Library::Eventlet]),
        "eventlet: eventlet.Timeout around every wait of a handler, so that it comes to read and close",
    ),
    // https://docs.twisted.org/en/stable/core/howto/threading.html and producers.html
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        libraries(&[Library::Twisted]),
        "Twisted: nothing may block the reactor: deferToThread() for what does",
    ),
    code(
        &[UNWATCHED],
        libraries(&[Library::Twisted]),
        "Twisted: startReading() of the port on every path after stopReading(), errors too",
    ),
    not_working(
        libraries(&[Library::Twisted]),
        "Twisted: a paused transport sees no end: resumeProducing() on every path after pauseProducing(), and \
         a time limit (TimeoutMixin)",
    ),
    code(
        &[UNCLOSED],
        libraries(&[Library::Twisted]),
        "Twisted: transport.loseConnection() on every path, and a time limit (TimeoutMixin)",
    ),
    code(
        &[UNCLOSED],
        runtimes(&[Runtime::Python]),
        "Python: `with` around sockets and responses, and close() in a `finally`",
    ),
    // PEP 446: descriptors of Python are closed in programs that it executes, and not in forks.
    code(
        &[INHERITED],
        runtimes(&[Runtime::Python]),
        "Python: a fork (os.fork, multiprocessing) inherits every socket: close in each process what it does \
         not serve",
    ),
    // http://docs.libuv.org/en/v1.x/stream.html#c.uv_accept
    code(
        &[UNWATCHED],
        libraries(&[Library::Libuv]),
        "libuv: call uv_accept() in every connection callback, errors too: the listener is not watched until \
         then",
    ),
    code(
        &[UNREAD],
        libraries(&[Library::Libuv]),
        "libuv: uv_read_start() on every accepted connection, again after each uv_read_stop(), or uv_close()",
    ),
    // https://www.erlang.org/doc/man/gen_tcp
    code(
        &[UNWATCHED],
        runtimes(&[Runtime::Beam]),
        "Erlang: at its limit of connections nobody calls accept: find what holds them, and give every recv a \
         Timeout; max_connections of Ranch, num_acceptors and num_connections of Thousand Island",
    ),
    code(
        &[UNREAD],
        runtimes(&[Runtime::Beam]),
        "Erlang: a passive socket sees the end only in recv: give each a Timeout, or set {active, once} again \
         on every path",
    ),
    code(
        &[UNCLOSED],
        runtimes(&[Runtime::Beam]),
        "Erlang: gen_tcp:close/1 on {tcp_closed, _} and {error, closed} on every path; exit_on_close is false \
         where it stays open",
    ),
    // https://docs.ruby-lang.org
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        &[Cause::Descriptor, Cause::NoLoop, Cause::Lock],
        runtimes(&[Runtime::Ruby]),
        "Ruby: a time limit for each wait: open_timeout and read_timeout of Net::HTTP, the timeouts of database \
         clients",
    ),
    // https://www.php.net/manual/en/filesystem.configuration.php
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        &[Cause::Descriptor, Cause::NoLoop],
        runtimes(&[Runtime::Php]),
        "PHP: a time limit for each wait: default_socket_timeout, stream_set_timeout(), CURLOPT_TIMEOUT, those \
         of database clients",
    ),
    // https://learn.microsoft.com/en-us/dotnet/api/system.net.sockets.socket
    remedy(
        Topic::Code,
        &[BUSY, UNREAD],
        WORKING,
        runtimes(&[Runtime::DotNet]),
        ".NET: await instead of .Result and .Wait(); a CancellationToken with a time limit for each call",
    ),
    // No event library of Python registers a listener so: the program does it itself.
    code(
        &[EDGE],
        runtimes(&[Runtime::Python]),
        "Python: accept until BlockingIOError, also after a close() at a limit; or register the listener without \
         select.EPOLLET: it is then reported for as long as somebody waits",
    ),
    code(
        &[EDGE],
        runtimes(&[Runtime::DotNet]),
        ".NET: a semaphore taken before AcceptAsync keeps clients waiting: release it in a `finally`",
    ),
];

/// A connection that is not read although its event loop is idle.
const fn not_working(whom: Whom, text: &'static str) -> Remedy {
    const CAUSES: &[Cause] = &[
        Cause::LeftOut,
        Cause::NoInput,
        Cause::SpentOneShot,
        Cause::LostEdge,
        Cause::NoLoop,
        Cause::NoThread,
        Cause::Unclear,
    ];
    remedy(Topic::Code, &[UNREAD], CAUSES, whom, text)
}
