//! How to see what a process does, in its own language.

use super::super::facts::Cause;
use super::super::remedy::{BUSY, Remedy, Topic, Whom, remedy, runtimes, servers};
use crate::model::{Runtime, Server};
use Topic::Look;

pub(super) const REMEDIES: &[Remedy] = &[
    remedy(
        Look,
        &[BUSY],
        &[],
        Whom::Anyone,
        "see what it does\n$ cat /proc/{pid}/task/{tid}/stack\n$ gdb -p {pid} -batch -ex 'thread apply all bt'",
    ),
    // https://docs.oracle.com/en/java/javase/21/docs/specs/man/jcmd.html
    look(
        &[Runtime::Jvm],
        "see what it does\n$ jcmd {pid} Thread.print\n$ jstack {pid}",
    ),
    // https://github.com/benfred/py-spy
    look(
        &[Runtime::Python],
        "see what it does\n$ py-spy dump --pid {pid}",
    ),
    // https://pkg.go.dev/net/http/pprof and os/signal: an unhandled SIGQUIT prints the stacks and exits.
    look(
        &[Runtime::Go],
        "see what it does: goroutine?debug=2 of net/http/pprof leaves it alive; kill -QUIT {pid} prints all \
         goroutines, and ends the process",
    ),
    // https://nodejs.org/api/debugger.html
    look(
        &[Runtime::Node],
        "see what it does (it opens the inspector by SIGUSR1)\n$ node inspect -p {pid}",
    ),
    // https://www.erlang.org/doc/man/erlang#process_info-2
    look(
        &[Runtime::Beam],
        "see what it does: erlang:process_info(Pid, current_stacktrace) or observer in a remote shell \
         (erl -remsh, iex --remsh)",
    ),
    // https://rbspy.github.io
    look(
        &[Runtime::Ruby],
        "see what it does\n$ rbspy snapshot --pid {pid}",
    ),
    // https://github.com/adsr/phpspy
    look(&[Runtime::Php], "see what it does\n$ phpspy -p {pid}"),
    // https://www.php.net/manual/en/install.fpm.configuration.php
    remedy(
        Look,
        &[BUSY],
        &[],
        servers(&[Server::PhpFpm]),
        "see what it does: pm.status_path with ?full names each request; request_slowlog_timeout logs where \
         it is",
    ),
    // https://learn.microsoft.com/en-us/dotnet/core/diagnostics/dotnet-stack
    look(
        &[Runtime::DotNet],
        "see what it does\n$ dotnet-stack report -p {pid}",
    ),
];

const fn look(of: &'static [Runtime], text: &'static str) -> Remedy {
    const ANY: &[Cause] = &[];
    remedy(Look, &[BUSY], ANY, runtimes(of), text)
}
