//! Systems whose kernel is not asked yet what waits in it: nothing is known.
#![forbid(unsafe_code)]

use std::io;

use mio::net::TcpStream;

use super::super::ListenSocket;
use super::facts::{AcceptQueue, Queues};

pub(crate) fn kernel_queues(_: &TcpStream) -> Queues {
    Queues::default()
}

pub(crate) fn accept_queue<S>(_: &S) -> AcceptQueue {
    AcceptQueue::default()
}

/// There is nothing to ask it.
pub(crate) struct Duplicate;

pub(crate) fn duplicate(_: &ListenSocket) -> io::Result<Duplicate> {
    Ok(Duplicate)
}
