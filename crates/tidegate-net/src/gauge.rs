//! [`AcceptGauge`]: how many connections wait for a server, read from any thread.
//!
//! The server owns the descriptor that its gauges read, so a closed server's port does not
//! stay open for their sake. The numbers themselves are in `sys/queues.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tidegate_loop::KeyError;

use crate::sys::{self, AcceptQueue};

/// Reads a server's [`AcceptQueue`] from any thread, also while the thread of the loop is inside a
/// callback, which is when the queue grows. Made by
/// [`ServerCx::accept_gauge`](crate::ServerCx::accept_gauge).
///
/// It does not keep the server open: after `ServerCx::close` its answer is
/// [`KeyError::Closed`].
///
/// ```
/// use std::thread;
/// use tidegate_loop::{KeyError, Loop};
/// use tidegate_net::Net;
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// let gauge = lp.server(server).accept_gauge()?;
/// let elsewhere = gauge.clone();
/// println!("{:?}", thread::spawn(move || elsewhere.read()).join().unwrap()?);
/// lp.server(server).close()?;
/// assert_eq!(gauge.read(), Err(KeyError::Closed));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct AcceptGauge(Arc<RwLock<Option<sys::Duplicate>>>);

impl AcceptGauge {
    /// What waits now. One system call, which `ServerCx::close` waits for. `Err` once the
    /// server is closed.
    pub fn read(&self) -> Result<AcceptQueue, KeyError> {
        let listener = self.0.read().unwrap_or_else(PoisonError::into_inner);
        listener.as_ref().map(sys::accept_queue).ok_or(KeyError::Closed)
    }
}

/// The server's own hold of what its gauges read. Dropped, it closes the descriptor, also
/// while one of them reads: else that one would keep the port.
pub(crate) struct Gauged(AcceptGauge);

impl Gauged {
    pub(crate) fn new(listener: sys::Duplicate) -> Gauged {
        Gauged(AcceptGauge(Arc::new(RwLock::new(Some(listener)))))
    }

    pub(crate) fn gauge(&self) -> AcceptGauge {
        self.0.clone()
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        *self.0.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for AcceptGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.read() {
            Ok(queue) => f.debug_tuple("AcceptGauge").field(&queue).finish(),
            Err(e) => f.debug_tuple("AcceptGauge").field(&e).finish(),
        }
    }
}
