//! What goes into the machine of pools and comes out of it: plain data.
#![forbid(unsafe_code)]

/// How much a pool may have.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections to one origin.
    pub sockets: usize,
    /// Connections in all.
    pub total: usize,
    /// Free connections to one origin.
    pub free: usize,
    /// Free connections in all.
    pub free_total: usize,
    /// Requests that wait while no connection is being made for them.
    pub pending: usize,
    /// Whether the connection that was free longest is used first.
    pub fifo: bool,
}

/// A connection of the pool: its place, and the step in which it came, so that the id of one that
/// is gone finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnId(pub(crate) usize, pub(crate) u64);

/// Why a connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It is not to be used again.
    Done,
    /// It was free for too long.
    Expired,
    /// Too many were free, or its place is needed.
    Evicted,
    /// No request waits for it any more.
    Unwanted,
    /// The pool is closed.
    Closed,
}

/// What is to be done, in this order. `T` is what the caller calls a connection, `W` a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act<T, W> {
    /// Make a connection to its origin (`Pool::origin`), then call `Pool::opened`.
    Open(ConnId),
    /// Send the request. `reused`: an earlier request was answered on this connection.
    Serve {
        /// Which connection.
        conn: T,
        /// Whose.
        request: W,
        /// Whether it was used before.
        reused: bool,
    },
    /// Close a connection, which the pool has forgotten.
    Close(T, Why),
}

/// How many there are of each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Origins with connections or requests.
    pub origins: usize,
    /// Connections in every state.
    pub open: usize,
    /// Of these, being made.
    pub connecting: usize,
    /// Of these, free.
    pub free: usize,
    /// Requests that wait.
    pub waiting: usize,
}
