//! The one way in which servers open their listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use clap::Args;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::life;

/// Where a server listens.
#[derive(Args)]
pub(crate) struct Place {
    #[arg(long, global = true, default_value_t = 8080)]
    port: u16,

    /// `::` listens for IPv4 as well.
    #[arg(long, global = true, default_value_t = Ipv4Addr::LOCALHOST.into())]
    address: IpAddr,

    #[arg(long, global = true, default_value_t = 511)]
    backlog: i32,
}

impl Place {
    /// A listener whose `accept` waits.
    pub(crate) fn listen_blocking(&self) -> Result<OwnedFd> {
        let listener = self.listen(SocketFlags::empty(), Sharing::Alone)?;
        life::bound(&listener)?;
        Ok(listener)
    }

    /// A listener for an event loop.
    pub(crate) fn listen_nonblocking(&self) -> Result<OwnedFd> {
        self.listen(SocketFlags::NONBLOCK, Sharing::Alone)
    }

    /// A listener for an event loop, on a port that others may listen on as well.
    pub(crate) fn listen_in_group(&self) -> Result<OwnedFd> {
        self.listen(SocketFlags::NONBLOCK, Sharing::WithOthers)
    }

    /// The options that put a process started by us in the same place.
    pub(crate) fn as_arguments(&self) -> Vec<String> {
        let Self {
            port,
            address,
            backlog,
        } = self;
        vec![
            format!("--port={port}"),
            format!("--address={address}"),
            format!("--backlog={backlog}"),
        ]
    }

    fn listen(&self, flags: SocketFlags, sharing: Sharing) -> Result<OwnedFd> {
        let address = SocketAddr::new(self.address, self.port);
        let family = if address.is_ipv6() {
            AddressFamily::INET6
        } else {
            AddressFamily::INET
        };
        let listener = rustix::net::socket_with(
            family,
            SocketType::STREAM,
            flags | SocketFlags::CLOEXEC,
            None,
        )?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        sockopt::set_socket_reuseport(&listener, sharing == Sharing::WithOthers)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&listener, false)?;
        }
        rustix::net::bind(&listener, &address).with_context(|| format!("bind to {address}"))?;
        rustix::net::listen(&listener, self.backlog)?;
        Ok(listener)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Sharing {
    Alone,
    WithOthers,
}
