//! [`UdpHandler`]: the callbacks of a UDP socket.
//!
//! ```text
//! { on_datagram* on_error* }  beside  { (on_sent | on_send_error)* on_drain* }   on_close
//! ```
#![forbid(unsafe_code)]

use tidegate_loop::AsCx;

use crate::callbacks::contexts::UdpCx;
use crate::datagram::{Meta, SendError, UdpClose};
use crate::error::net_error::NetError;

/// The callbacks of a UDP socket. None of them comes from inside a call. Closures do, too:
/// [`OnDatagram`](crate::OnDatagram).
///
/// ```
/// use tidegate_net::{Meta, UdpCx, UdpHandler};
/// struct Count(u64);
/// impl UdpHandler for Count {
///     fn on_datagram(&mut self, _: &mut UdpCx<'_>, data: &[u8], _: &Meta) {
///         self.0 += data.len() as u64;
///     }
/// }
/// # let _ = Count;
/// ```
pub trait UdpHandler: 'static {
    /// A datagram came; it may be empty. The bytes are lent.
    fn on_datagram(&mut self, u: &mut UdpCx<'_>, data: &[u8], meta: &Meta);

    /// A datagram with an [`id`](crate::SendOptions::id) was taken by the kernel, or was not.
    fn on_sent(&mut self, u: &mut UdpCx<'_>, id: u64, result: Result<(), &SendError>) {
        let _ = (u, id, result);
    }

    /// A datagram without an id was accepted and could not be sent. The socket goes on. The default
    /// counts and logs the error, as that of [`Handler::on_close`](crate::Handler::on_close).
    fn on_send_error(&mut self, u: &mut UdpCx<'_>, error: SendError) {
        let alike = (u.key(), "send", error.error.alike());
        u.cx().driver().unhandled("tidegate::net", alike, format_args!("{error}"));
    }

    /// The queue is empty after a send returned `Full` or `Dropped`.
    fn on_drain(&mut self, u: &mut UdpCx<'_>) {
        let _ = u;
    }

    /// The network said something about a datagram that was sent before (nobody listens there, it
    /// is unreachable), or receiving failed. The socket goes on. A socket that is not connected gets
    /// the former only with [`transport_errors`](crate::UdpOptions::transport_errors). The default
    /// counts and logs the error.
    fn on_error(&mut self, u: &mut UdpCx<'_>, error: NetError) {
        let alike = (u.key(), error.alike());
        u.cx().driver().unhandled("tidegate::net", alike, format_args!("{error}"));
    }

    /// The socket is over; its key finds nothing any more. Nothing comes after this. The default
    /// counts and logs an error.
    fn on_close(&mut self, u: &mut UdpCx<'_>, close: UdpClose) {
        close.unhandled(&mut u.cx());
    }
}

impl UdpClose {
    /// What a handler does that has nothing to do.
    pub(crate) fn unhandled(&self, cx: &mut tidegate_loop::Cx<'_>) {
        if self.reason.is_error() {
            let alike = ("udp", self.reason.error().map(NetError::alike));
            cx.driver().unhandled("tidegate::net", alike, format_args!("{self}"));
        }
    }
}
