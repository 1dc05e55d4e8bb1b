//! The ways to relieve a server.

/// A way to relieve a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Register the listener again as it is: the server is woken and accepts by its own code.
    Rearm,
    /// Take `EPOLLET` out of the registration, until the server restarts or registers anew.
    Level,
    /// Accept connections whose client has gone, in place of the server, and close them.
    Drain,
    /// Shut down accepted connections that the peer closed and the server does not.
    CloseLeaked,
    /// Let a stopped process continue.
    Continue,
    /// Thaw a frozen cgroup.
    Thaw,
}

impl Method {
    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rearm => "rearm",
            Self::Level => "level",
            Self::Drain => "drain",
            Self::CloseLeaked => "close-leaked",
            Self::Continue => "continue",
            Self::Thaw => "thaw",
        }
    }
}
