//! Closures as a [`UdpHandler`].
#![forbid(unsafe_code)]

use tidegate_loop::AsCx;

use crate::callbacks::contexts::UdpCx;
use crate::callbacks::udp_handler::UdpHandler;
use crate::datagram::{Meta, SendError, UdpClose};
use crate::error::net_error::NetError;

type Each = Box<dyn FnMut(&mut UdpCx<'_>, &[u8], &Meta)>;

type OnEvent = Option<Box<dyn FnMut(&mut UdpCx<'_>)>>;

type OnSent = Option<Box<dyn FnMut(&mut UdpCx<'_>, u64, Result<(), &SendError>)>>;

type OnValue<V> = Option<Box<dyn FnMut(&mut UdpCx<'_>, V)>>;

/// A [`UdpHandler`] made of closures. A callback that is not set does what the handler does by
/// default.
///
/// ```
/// use tidegate_net::{OnDatagram, SendFlow};
/// let echo = OnDatagram::new(|u, data, meta| {
///     if u.send_to(data, meta.from) == SendFlow::Full {
///         u.pause();
///     }
/// })
/// .drain(|u| u.resume());
/// # let _ = echo;
/// ```
pub struct OnDatagram {
    datagram: Each,
    sent: OnSent,
    send_error: OnValue<SendError>,
    drain: OnEvent,
    error: OnValue<NetError>,
    close: OnValue<UdpClose>,
}

impl OnDatagram {
    /// What happens to each datagram.
    pub fn new(f: impl FnMut(&mut UdpCx<'_>, &[u8], &Meta) + 'static) -> OnDatagram {
        OnDatagram {
            datagram: Box::new(f),
            sent: None,
            send_error: None,
            drain: None,
            error: None,
            close: None,
        }
    }

    /// [`UdpHandler::on_sent`].
    pub fn sent(
        mut self,
        f: impl FnMut(&mut UdpCx<'_>, u64, Result<(), &SendError>) + 'static,
    ) -> OnDatagram {
        self.sent = Some(Box::new(f));
        self
    }

    /// [`UdpHandler::on_send_error`].
    pub fn send_error(mut self, f: impl FnMut(&mut UdpCx<'_>, SendError) + 'static) -> OnDatagram {
        self.send_error = Some(Box::new(f));
        self
    }

    /// [`UdpHandler::on_drain`].
    pub fn drain(mut self, f: impl FnMut(&mut UdpCx<'_>) + 'static) -> OnDatagram {
        self.drain = Some(Box::new(f));
        self
    }

    /// [`UdpHandler::on_error`].
    pub fn error(mut self, f: impl FnMut(&mut UdpCx<'_>, NetError) + 'static) -> OnDatagram {
        self.error = Some(Box::new(f));
        self
    }

    /// [`UdpHandler::on_close`].
    pub fn close(mut self, f: impl FnMut(&mut UdpCx<'_>, UdpClose) + 'static) -> OnDatagram {
        self.close = Some(Box::new(f));
        self
    }
}

/// What a handler does by default.
struct Default;

impl UdpHandler for Default {
    fn on_datagram(&mut self, _: &mut UdpCx<'_>, _: &[u8], _: &Meta) {}
}

impl UdpHandler for OnDatagram {
    fn on_datagram(&mut self, u: &mut UdpCx<'_>, data: &[u8], meta: &Meta) {
        (self.datagram)(u, data, meta);
    }

    fn on_sent(&mut self, u: &mut UdpCx<'_>, id: u64, result: Result<(), &SendError>) {
        if let Some(f) = &mut self.sent {
            f(u, id, result);
        }
    }

    fn on_send_error(&mut self, u: &mut UdpCx<'_>, error: SendError) {
        match &mut self.send_error {
            Some(f) => f(u, error),
            None => Default.on_send_error(u, error),
        }
    }

    fn on_drain(&mut self, u: &mut UdpCx<'_>) {
        if let Some(f) = &mut self.drain {
            f(u);
        }
    }

    fn on_error(&mut self, u: &mut UdpCx<'_>, error: NetError) {
        match &mut self.error {
            Some(f) => f(u, error),
            None => Default.on_error(u, error),
        }
    }

    fn on_close(&mut self, u: &mut UdpCx<'_>, close: UdpClose) {
        match &mut self.close {
            Some(f) => f(u, close),
            None => close.unhandled(&mut u.cx()),
        }
    }
}
