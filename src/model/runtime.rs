//! What software a process runs, as far as it shows.

/// The language a process is written in, or the machine that runs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Runtime {
    /// Not recognised.
    #[default]
    Unknown,
    /// C or C++: only for programs that are recognised by name.
    Native,
    /// Go.
    Go,
    /// Rust.
    Rust,
    /// The Java virtual machine.
    Jvm,
    /// Node.js.
    Node,
    /// Deno.
    Deno,
    /// Bun.
    Bun,
    /// Python.
    Python,
    /// The virtual machine of Erlang and Elixir.
    Beam,
    /// Ruby.
    Ruby,
    /// PHP.
    Php,
    /// Perl.
    Perl,
    /// .NET.
    DotNet,
}

/// The library that waits for events on behalf of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// tokio, on mio.
    Tokio,
    /// Netty on the selectors of the JDK.
    Netty,
    /// Netty on its own native epoll.
    NettyEpoll,
    /// libuv, in a program that is not Node.js.
    Libuv,
    /// Python's asyncio.
    Asyncio,
    /// asyncio on uvloop.
    Uvloop,
    /// gevent.
    Gevent,
    /// eventlet.
    Eventlet,
    /// Twisted.
    Twisted,
}

/// The program, or the server library in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// nginx, or `OpenResty`.
    Nginx,
    /// Apache httpd.
    Apache,
    /// `HAProxy`.
    Haproxy,
    /// Envoy.
    Envoy,
    /// Varnish.
    Varnish,
    /// lighttpd.
    Lighttpd,
    /// `PgBouncer`.
    PgBouncer,
    /// `PostgreSQL`.
    Postgres,
    /// `MySQL` or `MariaDB`.
    Mysql,
    /// redis or valkey.
    Redis,
    /// memcached.
    Memcached,
    /// dnsmasq.
    Dnsmasq,
    /// `OpenSSH`'s server.
    Sshd,
    /// stunnel.
    Stunnel,
    /// socat.
    Socat,
    /// tinyproxy.
    Tinyproxy,
    /// vsftpd.
    Vsftpd,
    /// Postfix.
    Postfix,
    /// Dovecot.
    Dovecot,
    /// `RabbitMQ`.
    RabbitMq,
    /// PHP-FPM.
    PhpFpm,
    /// Puma.
    Puma,
    /// Unicorn.
    Unicorn,
    /// Tomcat.
    Tomcat,
    /// Jetty.
    Jetty,
    /// Undertow, on XNIO.
    Undertow,
    /// `com.sun.net.httpserver` of the JDK.
    JdkHttp,
    /// gunicorn.
    Gunicorn,
    /// uvicorn, also as a worker of gunicorn.
    Uvicorn,
    /// hypercorn.
    Hypercorn,
    /// daphne.
    Daphne,
    /// uWSGI.
    Uwsgi,
}

/// What a process runs. Each part is known or not by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Software {
    /// The language.
    pub runtime: Runtime,
    /// The event library.
    pub library: Option<Library>,
    /// The program or server.
    pub server: Option<Server>,
    /// What it was recognised by.
    pub seen: Vec<String>,
}

impl Runtime {
    /// Returns its name, if it was recognised and its name helps the reader.
    fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Unknown | Self::Native | Self::Rust => return None,
            Self::Go => "Go",
            Self::Jvm => "Java",
            Self::Node => "Node.js",
            Self::Deno => "Deno",
            Self::Bun => "Bun",
            Self::Python => "Python",
            Self::Beam => "Erlang",
            Self::Ruby => "Ruby",
            Self::Php => "PHP",
            Self::Perl => "Perl",
            Self::DotNet => ".NET",
        })
    }
}

impl Library {
    /// Folders of the paths that a program of Python has mapped, by which libraries are told apart.
    pub const MAPPED_FOLDERS: [&str; 5] = [
        Self::GEVENT,
        Self::UVLOOP,
        Self::GREENLET,
        Self::SQLALCHEMY,
        Self::ZOPE_INTERFACE,
    ];

    /// The compiled parts of gevent.
    pub const GEVENT: &str = "/gevent/";
    /// The compiled parts of uvloop.
    pub const UVLOOP: &str = "/uvloop/";
    /// Those of greenlet, which eventlet and gevent need.
    pub const GREENLET: &str = "/greenlet/";
    /// Those of SQLAlchemy, which brings greenlet along.
    pub const SQLALCHEMY: &str = "/sqlalchemy/";
    /// Those of zope.interface, which Twisted needs.
    pub const ZOPE_INTERFACE: &str = "/zope/interface/";

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Netty | Self::NettyEpoll => "Netty",
            Self::Libuv => "libuv",
            Self::Asyncio => "asyncio",
            Self::Uvloop => "uvloop",
            Self::Gevent => "gevent",
            Self::Eventlet => "eventlet",
            Self::Twisted => "Twisted",
        }
    }
}

impl Server {
    /// What in the command line of a program in the language names the server; the first that is found counts.
    ///
    /// gunicorn with the workers of uvicorn has the event loop of uvicorn.
    pub const COMMAND_LINE_MARKERS: [(Runtime, &str, Self); 8] = [
        (Runtime::Python, "uvicorn", Self::Uvicorn),
        (Runtime::Python, "gunicorn", Self::Gunicorn),
        (Runtime::Python, "hypercorn", Self::Hypercorn),
        (Runtime::Python, "daphne", Self::Daphne),
        (Runtime::Python, "uwsgi", Self::Uwsgi),
        (Runtime::Ruby, "puma", Self::Puma),
        (Runtime::Ruby, "unicorn", Self::Unicorn),
        (Runtime::Beam, "rabbit", Self::RabbitMq),
    ];

    /// Its name, as its own documentation writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "Apache",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Varnish => "Varnish",
            Self::Lighttpd => "lighttpd",
            Self::PgBouncer => "PgBouncer",
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Redis => "redis",
            Self::Memcached => "memcached",
            Self::Dnsmasq => "dnsmasq",
            Self::Sshd => "sshd",
            Self::Stunnel => "stunnel",
            Self::Socat => "socat",
            Self::Tinyproxy => "tinyproxy",
            Self::Vsftpd => "vsftpd",
            Self::Postfix => "Postfix",
            Self::Dovecot => "Dovecot",
            Self::RabbitMq => "RabbitMQ",
            Self::PhpFpm => "PHP-FPM",
            Self::Puma => "Puma",
            Self::Unicorn => "Unicorn",
            Self::Tomcat => "Tomcat",
            Self::Jetty => "Jetty",
            Self::Undertow => "Undertow",
            Self::JdkHttp => "com.sun.net.httpserver",
            Self::Gunicorn => "gunicorn",
            Self::Uvicorn => "uvicorn",
            Self::Hypercorn => "hypercorn",
            Self::Daphne => "daphne",
            Self::Uwsgi => "uWSGI",
        }
    }

    /// Whether it is a packaged program: the user configures it, and it runs no code of
    /// the user.
    fn is_product(self) -> bool {
        match self {
            Self::Nginx
            | Self::Apache
            | Self::Haproxy
            | Self::Envoy
            | Self::Varnish
            | Self::Lighttpd
            | Self::PgBouncer
            | Self::Postgres
            | Self::Mysql
            | Self::Redis
            | Self::Memcached
            | Self::Dnsmasq
            | Self::Sshd
            | Self::Stunnel
            | Self::Socat
            | Self::Tinyproxy
            | Self::Vsftpd
            | Self::Postfix
            | Self::Dovecot
            | Self::RabbitMq => true,
            Self::PhpFpm
            | Self::Puma
            | Self::Unicorn
            | Self::Tomcat
            | Self::Jetty
            | Self::Undertow
            | Self::JdkHttp
            | Self::Gunicorn
            | Self::Uvicorn
            | Self::Hypercorn
            | Self::Daphne
            | Self::Uwsgi => false,
        }
    }
}

impl Software {
    /// Returns the most specific name: the product, the language with its event library, or the language.
    pub fn name(&self) -> Option<&'static str> {
        match (self.server, self.library) {
            (Some(server), _) if server.is_product() => Some(server.name()),
            (_, Some(Library::Tokio)) => Some("Rust with tokio"),
            (_, Some(Library::Netty | Library::NettyEpoll)) => Some("Java with Netty"),
            _ => self.runtime.name(),
        }
    }

    /// Returns whether it is a packaged program that the user can only configure.
    pub fn is_product(&self) -> bool {
        self.server.is_some_and(Server::is_product)
    }

    /// Returns whether the main thread only waits while other threads work, so that no single thread should read.
    pub fn shares_work_among_threads(&self) -> bool {
        matches!(self.runtime, Runtime::Go | Runtime::Jvm | Runtime::DotNet)
            || self.library == Some(Library::Tokio)
    }

    /// Whether the runtime itself registers every descriptor edge-triggered and drains it, so that an
    /// undrained queue means an accept loop that is parked.
    pub fn registers_edge_triggered(&self) -> bool {
        matches!(self.runtime, Runtime::Go | Runtime::DotNet)
            || matches!(self.library, Some(Library::Tokio | Library::NettyEpoll))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_product_or_of_the_language() {
        let nginx = Software {
            runtime: Runtime::Native,
            server: Some(Server::Nginx),
            ..Software::default()
        };
        assert_eq!(nginx.name(), Some("nginx"));
        let gunicorn = Software {
            runtime: Runtime::Python,
            server: Some(Server::Gunicorn),
            ..Software::default()
        };
        assert_eq!(gunicorn.name(), Some("Python"));
        assert_eq!(Software::default().name(), None);
    }

    #[test]
    fn only_native_epoll_of_netty_registers_edges() {
        let netty = |library| Software {
            runtime: Runtime::Jvm,
            library: Some(library),
            ..Software::default()
        };
        assert!(netty(Library::NettyEpoll).registers_edge_triggered());
        assert!(!netty(Library::Netty).registers_edge_triggered());
    }
}
