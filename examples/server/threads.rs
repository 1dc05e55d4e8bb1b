//! Servers without epoll, whose accepting thread is kept from accepting.

use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::Result;

use crate::clients::{accept_blocking, read_to_end};
use crate::life::{self, LIFETIME};
use crate::listening::Place;

/// A client that sends nothing and stays keeps all others out.
pub(crate) fn one_by_one(place: &Place) -> Result<()> {
    let listener = place.listen_blocking()?;
    life::ready()?;
    serve_one_by_one(&listener)
}

/// Reads each client to its end before it accepts the next.
pub(crate) fn serve_one_by_one(listener: impl AsFd) -> Result<()> {
    loop {
        read_to_end(&accept_blocking(&listener)?)?;
    }
}

/// Accepts only while a worker is free, as thread pools and connection limits do.
pub(crate) fn gated(place: &Place, workers: usize) -> Result<()> {
    let listener = place.listen_blocking()?;
    let (leave, enter) = mpsc::channel();
    for _ in 0..workers {
        leave.send(())?;
    }
    life::ready()?;
    loop {
        enter.recv_timeout(LIFETIME)?;
        let client = accept_blocking(&listener)?;
        let leave = leave.clone();
        thread::spawn(move || -> Result<()> {
            read_to_end(&client)?;
            Ok(leave.send(())?)
        });
    }
}

/// The acceptor hands its first client to a worker and is gone, while the main thread waits for that worker.
pub(crate) fn acceptor_gone(place: &Place) -> Result<()> {
    let listener = Arc::new(place.listen_blocking()?);
    let acceptor = thread::spawn({
        let listener = Arc::clone(&listener);
        move || {
            accept_blocking(&*listener).map(|client| thread::spawn(move || read_to_end(&client)))
        }
    });
    life::ready()?;
    let worker = acceptor.join().expect("the acceptor does not panic")?;
    worker.join().expect("the worker does not panic")
}
