//! Recognises the language, the event library and the server that a process runs.

use crate::model::{Library, Runtime, Server, Software, Thread};

use super::elf::Elf;

/// What a process is recognised by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    /// Path of the executable, as `/proc/PID/exe` shows it.
    pub executable: &'a str,
    /// What its ELF file says.
    pub elf: Elf,
    /// Its arguments, or the title it gave itself.
    pub command_line: &'a str,
    /// Its threads; the kernel cuts their names at 15 bytes.
    pub threads: &'a [Thread],
    /// The files it has mapped, as text of `/proc/PID/maps`; empty where they were not read.
    pub maps: &'a str,
    /// Whether it has an epoll set.
    pub has_epoll: bool,
}

/// The name of the executable, without its folder; an update may have replaced the file.
fn file_name(executable: &str) -> &str {
    let path = executable.trim_end_matches(" (deleted)");
    path.rsplit('/').next().unwrap_or_default()
}

impl Evidence<'_> {
    fn thread(&self, prefixes: &[&str]) -> Option<&str> {
        let names = self.threads.iter().map(|thread| thread.command.as_str());
        names
            .into_iter()
            .find(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    }
}

/// Whether the mapped files decide: the executable is an interpreter with many libraries, or not known.
pub(super) fn needs_maps(executable: &str, elf: Elf) -> bool {
    let name = file_name(executable);
    product(name).is_none() && matches!(language(name, elf), Runtime::Python | Runtime::Unknown)
}

/// Recognises by the executable first, then by what the language offers to tell its servers apart.
///
/// A server is only told by something that names it: nothing follows from the language alone.
pub(super) fn recognise(evidence: &Evidence) -> Software {
    let name = file_name(evidence.executable);
    let mut software = Software::default();
    if let Some(server) = product(name) {
        software.runtime = Runtime::Native;
        software.server = Some(server);
        software.seen.push(format!("executable {name}"));
        return software;
    }
    software.runtime = language(name, evidence.elf);
    if software.runtime != Runtime::Unknown {
        software.seen.push(format!("executable {name}"));
    }
    match software.runtime {
        Runtime::Jvm => recognise_java(evidence, &mut software),
        Runtime::Python => recognise_python(evidence, &mut software),
        Runtime::Ruby => recognise_ruby(evidence, &mut software),
        Runtime::Php => recognise_php(name, &mut software),
        Runtime::Beam => recognise_beam(evidence, &mut software),
        Runtime::Unknown => recognise_by_threads(evidence, &mut software),
        _ => {}
    }
    software
}

fn is_python(name: &str) -> bool {
    name.starts_with("python") || name.starts_with("pypy") || name.starts_with("uwsgi")
}

fn language(name: &str, elf: Elf) -> Runtime {
    match name {
        "java" => Runtime::Jvm,
        "node" | "nodejs" => Runtime::Node,
        "deno" => Runtime::Deno,
        // The second is what its package for npm installs.
        "bun" | "bun.exe" => Runtime::Bun,
        "dotnet" => Runtime::DotNet,
        _ if is_python(name) => Runtime::Python,
        _ if name.starts_with("beam") => Runtime::Beam,
        _ if name.starts_with("ruby") => Runtime::Ruby,
        _ if name.starts_with("php") => Runtime::Php,
        _ if name.starts_with("perl") => Runtime::Perl,
        _ if elf.go => Runtime::Go,
        _ => Runtime::Unknown,
    }
}

/// Programs that one uses as they are.
fn product(name: &str) -> Option<Server> {
    Some(match name {
        "nginx" | "openresty" => Server::Nginx,
        "apache2" | "httpd" => Server::Apache,
        "haproxy" => Server::Haproxy,
        "envoy" => Server::Envoy,
        "varnishd" => Server::Varnish,
        "lighttpd" => Server::Lighttpd,
        "pgbouncer" => Server::PgBouncer,
        "postgres" => Server::Postgres,
        "mysqld" | "mariadbd" => Server::Mysql,
        "redis-server" | "valkey-server" | "redis-check-rdb" | "valkey-check-rdb" => Server::Redis,
        "memcached" => Server::Memcached,
        "dnsmasq" => Server::Dnsmasq,
        "sshd" | "sshd-session" | "sshd-auth" => Server::Sshd,
        "stunnel" | "stunnel4" => Server::Stunnel,
        "socat" | "socat1" => Server::Socat,
        "tinyproxy" => Server::Tinyproxy,
        "vsftpd" => Server::Vsftpd,
        "dovecot" | "imap-login" | "pop3-login" => Server::Dovecot,
        "smtpd" | "postscreen" => Server::Postfix,
        _ => return None,
    })
}

/// Only the libraries of Java name threads like this.
fn recognise_java(evidence: &Evidence, software: &mut Software) {
    let mut see = |prefixes: &[&str]| {
        let name = evidence.thread(prefixes)?.to_owned();
        software.seen.push(format!("thread {name}"));
        Some(())
    };
    let library = see(&["epollEventLoop", "reactor-http-ep"])
        .map(|()| Library::NettyEpoll)
        .or_else(|| {
            see(&["nioEventLoop", "reactor-http-ni", "vert.x-event"]).map(|()| Library::Netty)
        });
    let servers: [(&[&str], Server); 4] = [
        (
            &["http-nio-", "https-jsse-nio-", "http-nio2-", "catalina-"],
            Server::Tomcat,
        ),
        (&["qtp"], Server::Jetty),
        (&["XNIO-"], Server::Undertow),
        (&["HTTP-Dispatcher"], Server::JdkHttp),
    ];
    let server = servers
        .into_iter()
        .find_map(|(prefixes, server)| see(prefixes).map(|()| server));
    software.library = library;
    software.server = server;
}

/// The compiled parts of an event library are mapped where a program uses it, or those of what it needs:
/// eventlet has none but greenlet's, Twisted none but zope.interface's. asyncio is loaded by many that do not
/// use it, eventlet and Twisted among them, and so are the others by a program without an epoll set.
fn event_library(evidence: &Evidence) -> Option<(&'static str, Library)> {
    let mapped = |part: &str| evidence.maps.contains(part);
    let of_its_own = [
        (Library::GEVENT, Library::Gevent),
        (Library::UVLOOP, Library::Uvloop),
    ];
    if let Some(found) = of_its_own.into_iter().find(|(part, _)| mapped(part)) {
        return Some(found);
    }
    // SQLAlchemy brings greenlet along for asyncio, and is used with eventlet as well.
    if !evidence.has_epoll || (mapped(Library::GREENLET) && mapped(Library::SQLALCHEMY)) {
        return None;
    }
    let by_needs = [
        (Library::GREENLET, Library::Eventlet),
        (Library::ZOPE_INTERFACE, Library::Twisted),
        ("/_asyncio.", Library::Asyncio),
    ];
    by_needs.into_iter().find(|(part, _)| mapped(part))
}

fn recognise_python(evidence: &Evidence, software: &mut Software) {
    if let Some((part, library)) = event_library(evidence) {
        software.seen.push(format!("{part} is mapped"));
        software.library = Some(library);
    }
    let server = named_in(evidence.command_line, Runtime::Python);
    if let Some((name, server)) = server {
        software.seen.push(format!("command line with {name}"));
        software.server = Some(server);
    }
}

/// The first server of the language that the command line names.
fn named_in(command_line: &str, runtime: Runtime) -> Option<(&'static str, Server)> {
    let markers = Server::COMMAND_LINE_MARKERS.into_iter();
    let mut of_runtime = markers.filter(|(of, _, _)| *of == runtime);
    let (_, marker, server) = of_runtime.find(|(_, marker, _)| command_line.contains(marker))?;
    Some((marker, server))
}

fn recognise_ruby(evidence: &Evidence, software: &mut Software) {
    let by_thread = evidence.thread(&["puma "]).map(|_| Server::Puma);
    software.server = by_thread
        .or_else(|| named_in(evidence.command_line, Runtime::Ruby).map(|(_, server)| server));
}

fn recognise_php(name: &str, software: &mut Software) {
    software.server = name.contains("fpm").then_some(Server::PhpFpm);
}

fn recognise_beam(evidence: &Evidence, software: &mut Software) {
    software.server = named_in(evidence.command_line, Runtime::Beam).map(|(_, server)| server);
}

/// Programs that are compiled show no more than the threads and the shared files of their library.
fn recognise_by_threads(evidence: &Evidence, software: &mut Software) {
    if let Some(name) = evidence.thread(&["tokio-rt-worker", "tokio-runtime-w"]) {
        software.seen.push(format!("thread {name}"));
        software.runtime = Runtime::Rust;
        software.library = Some(Library::Tokio);
    } else if let Some(name) = evidence.thread(&[".NET "]) {
        software.seen.push(format!("thread {name}"));
        software.runtime = Runtime::DotNet;
    } else if evidence.maps.contains("/libuv.so") {
        software.seen.push("libuv is mapped".to_owned());
        software.library = Some(Library::Libuv);
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

    fn recognised(executable: &str, command_line: &str, threads: &[&str], maps: &str) -> Software {
        let threads: Vec<Thread> = threads.iter().map(|name| thread(name)).collect();
        recognise(&Evidence {
            executable,
            elf: Elf::default(),
            command_line,
            threads: &threads,
            maps,
            has_epoll: true,
        })
    }

    #[test]
    fn a_replaced_executable_is_still_recognised() {
        let nginx = recognised("/usr/sbin/nginx (deleted)", "", &[], "");
        assert_eq!(nginx.server, Some(Server::Nginx));
        assert!(nginx.is_product());
    }

    #[test]
    fn threads_tell_what_a_jvm_serves_with() {
        let java =
            |threads: &[&str]| recognised("/opt/jdk/bin/java", "java -jar a.jar", threads, "");
        assert_eq!(java(&["java", "VM Thread"]).server, None);
        assert_eq!(java(&["http-nio-8080-A"]).server, Some(Server::Tomcat));
        assert_eq!(java(&["qtp1509563803-1"]).server, Some(Server::Jetty));
        assert_eq!(java(&["XNIO-1 I/O-1"]).server, Some(Server::Undertow));
        assert_eq!(java(&["HTTP-Dispatcher"]).server, Some(Server::JdkHttp));
        assert_eq!(java(&["nioEventLoopGro"]).library, Some(Library::Netty));
        assert_eq!(
            java(&["epollEventLoopG"]).library,
            Some(Library::NettyEpoll)
        );
    }

    #[test]
    fn nothing_follows_from_python_alone() {
        let plain = recognised("/usr/bin/python3.11", "python3 server.py", &[], "");
        assert_eq!((plain.library, plain.server), (None, None));
    }

    #[test]
    fn a_library_of_python_is_told_by_its_mapped_parts() {
        let with =
            |maps: &str| recognised("/usr/bin/python3.11", "python3 server.py", &[], maps).library;
        let asyncio =
            "7f00 /usr/lib/python3.11/lib-dynload/_asyncio.cpython-311-x86_64-linux-gnu.so";
        let gevent = "7f00 /srv/lib/gevent/_gevent_cevent.cpython-311-x86_64-linux-gnu.so\n";
        assert_eq!(with(asyncio), Some(Library::Asyncio));
        assert_eq!(with(gevent), Some(Library::Gevent));
        assert_eq!(with(&format!("{gevent}{asyncio}")), Some(Library::Gevent));
        let greenlet = "7f00 /srv/lib/greenlet/_greenlet.cpython-311-x86_64-linux-gnu.so\n";
        let sqlalchemy = "7f00 /srv/lib/sqlalchemy/cyextension/util.cpython-311.so\n";
        let zope = "7f00 /srv/lib/zope/interface/_zope_interface_coptimizations.so\n";
        assert_eq!(
            with(&format!("{greenlet}{asyncio}")),
            Some(Library::Eventlet)
        );
        assert_eq!(with(&format!("{greenlet}{sqlalchemy}{asyncio}")), None);
        assert_eq!(with(&format!("{zope}{asyncio}")), Some(Library::Twisted));
        let no_loop = recognise(&Evidence {
            executable: "/usr/bin/python3.11",
            elf: Elf::default(),
            command_line: "",
            threads: &[],
            maps: asyncio,
            has_epoll: false,
        });
        assert_eq!(no_loop.library, None);
    }

    #[test]
    fn a_server_of_python_is_told_by_the_command_line() {
        let server = |line| recognised("/usr/bin/python3.11", line, &[], "").server;
        assert_eq!(
            server("python3 /usr/bin/gunicorn app:app"),
            Some(Server::Gunicorn)
        );
        assert_eq!(
            server("gunicorn app:app -k uvicorn.workers.UvicornWorker"),
            Some(Server::Uvicorn)
        );
    }

    #[test]
    fn other_languages_and_their_servers() {
        let puma = recognised(
            "/usr/bin/ruby3.1",
            "puma 6.0 (tcp://:9292)",
            &["puma srv tp 001"],
            "",
        );
        assert_eq!(
            (puma.runtime, puma.server),
            (Runtime::Ruby, Some(Server::Puma))
        );
        let fpm = recognised("/usr/sbin/php-fpm8.2", "php-fpm: pool www", &[], "");
        assert_eq!(
            (fpm.runtime, fpm.server),
            (Runtime::Php, Some(Server::PhpFpm))
        );
        let beam = recognised(
            "/usr/lib/erlang/erts-13.1/bin/beam.smp",
            "beam.smp -- -root",
            &[],
            "",
        );
        assert_eq!((beam.runtime, beam.server), (Runtime::Beam, None));
        let tokio = recognised("/srv/api", "api", &["api", "tokio-rt-worker"], "");
        assert_eq!(tokio.library, Some(Library::Tokio));
        assert_eq!(recognised("/srv/api", "api", &[], ""), Software::default());
    }
}
