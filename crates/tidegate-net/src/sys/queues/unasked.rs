//! The accept queue of systems that cannot be asked for it.
#![forbid(unsafe_code)]

use std::io;

use super::super::ListenSocket;
use super::facts::AcceptQueue;

pub(crate) fn accept_queue<S>(_: &S) -> AcceptQueue {
    AcceptQueue::default()
}

/// There is nothing to ask it.
pub(crate) struct Duplicate;

pub(crate) fn duplicate(_: &ListenSocket) -> io::Result<Duplicate> {
    Ok(Duplicate)
}
