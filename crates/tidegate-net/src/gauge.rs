//! [`AcceptGauge`]: how many connections wait for a server, read from any thread; and [`UdpGauge`],
//! what waits in the kernel for a UDP socket.
//!
//! The server, or the socket, owns the descriptor that its gauges read, so a closed server's port
//! does not stay open for their sake. The numbers themselves are in `sys/queues/`.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tidegate_loop::KeyError;

use crate::sys::udp::UdpDuplicate;
use crate::sys::{self, AcceptQueue, UdpQueues};

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

/// Reads a UDP socket's [`UdpQueues`] from any thread, also while the thread of the loop is inside a
/// callback, which is when the queue grows. Made by [`UdpCx::gauge`](crate::UdpCx::gauge). It does
/// not keep the socket open.
///
/// ```
/// use tidegate_loop::{KeyError, Loop};
/// use tidegate_net::{Net, OnDatagram};
/// let mut lp = Loop::new()?;
/// let key = lp.udp("127.0.0.1:0", OnDatagram::new(|_, _, _| {}))?;
/// let gauge = lp.datagrams(key).gauge()?;
/// let elsewhere = gauge.clone();
/// println!("{:?}", std::thread::spawn(move || elsewhere.read()).join().unwrap()?);
/// lp.datagrams(key).destroy();
/// assert_eq!(gauge.read(), Err(KeyError::Closed));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct UdpGauge(Arc<RwLock<Option<UdpDuplicate>>>);

impl UdpGauge {
    /// What waits now. One system call, which closing the socket waits for. `Err` once it is closed.
    pub fn read(&self) -> Result<UdpQueues, KeyError> {
        let socket = self.0.read().unwrap_or_else(PoisonError::into_inner);
        socket.as_ref().map(sys::udp::udp_queues).ok_or(KeyError::Closed)
    }
}

/// The socket's own hold of what its gauges read. Dropped, it closes the descriptor.
pub(crate) struct UdpGauged(UdpGauge);

impl UdpGauged {
    pub(crate) fn new(socket: UdpDuplicate) -> UdpGauged {
        UdpGauged(UdpGauge(Arc::new(RwLock::new(Some(socket)))))
    }

    pub(crate) fn gauge(&self) -> UdpGauge {
        self.0.clone()
    }
}

impl Drop for UdpGauged {
    fn drop(&mut self) {
        *self.0.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for UdpGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.read() {
            Ok(queues) => f.debug_tuple("UdpGauge").field(&queues).finish(),
            Err(e) => f.debug_tuple("UdpGauge").field(&e).finish(),
        }
    }
}
