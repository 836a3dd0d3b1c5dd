//! What a user may do with a UDP socket: send, pause, connect, close. What one may ask, and the
//! options of an open socket, are in `facts.rs`.
#![forbid(unsafe_code)]

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use tidegate_loop::KeyError;

use crate::callbacks::contexts::UdpCx;
use crate::callbacks::udp_handler::UdpHandler;
use crate::datagram::{SendFlow, SendOptions};
use crate::sys::udp as sys;
use crate::udp::state::{Life, UDP};
use crate::udp::{pass, send};
use crate::udp_event::UdpEvent;

/// Parts of a datagram that need no allocation.
const PARTS: usize = 16;

impl UdpCx<'_> {
    /// Sends a datagram to this address. It is copied, and leaves together with others when the
    /// current callback returns; several in one callback leave by few system calls. No callback
    /// runs inside of this call. What fails later is reported by
    /// [`on_send_error`](UdpHandler::on_send_error).
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, OnDatagram, SendFlow};
    /// let mut lp = Loop::new()?;
    /// let to = lp.udp("127.0.0.1:0", OnDatagram::new(|u, data, _| {
    ///     assert_eq!(data, b"tide");
    ///     u.destroy();
    /// }))?;
    /// let at = lp.datagrams(to).local_addr()?;
    /// let from = lp.udp("127.0.0.1:0", OnDatagram::new(|_, _, _| {}))?;
    /// assert_eq!(lp.datagrams(from).send_to(b"tide", at), SendFlow::Ready);
    /// lp.datagrams(from).end();
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_to(&mut self, data: &[u8], to: SocketAddr) -> SendFlow {
        send::push(&mut self.cx, self.key, &[data], &SendOptions::to(to))
    }

    /// Sends a datagram to the peer that the socket is connected to.
    pub fn send(&mut self, data: &[u8]) -> SendFlow {
        send::push(&mut self.cx, self.key, &[data], &SendOptions::default())
    }

    /// Sends a datagram with an id, a source address and more: see [`SendOptions`].
    pub fn send_with(&mut self, data: &[u8], options: SendOptions) -> SendFlow {
        send::push(&mut self.cx, self.key, &[data], &options)
    }

    /// Sends one datagram made of several parts, as [`send_with`](UdpCx::send_with).
    pub fn send_vectored(&mut self, parts: &[IoSlice<'_>], options: SendOptions) -> SendFlow {
        let mut few = [&[][..]; PARTS];
        match few.get_mut(..parts.len()) {
            Some(few) => {
                few.iter_mut().zip(parts).for_each(|(to, part)| *to = part);
                send::push(&mut self.cx, self.key, few, &options)
            }
            None => {
                let all: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
                send::push(&mut self.cx, self.key, &all, &options)
            }
        }
    }

    /// Sends a datagram now: the answer is the kernel's. `WouldBlock` if the kernel has no room,
    /// or if others wait; then it was not accepted.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, OnDatagram};
    /// let mut lp = Loop::new()?;
    /// let key = lp.udp("127.0.0.1:0", OnDatagram::new(|_, _, _| {}))?;
    /// let at = lp.datagrams(key).local_addr()?;
    /// lp.datagrams(key).try_send_to(b"tide", at)?;
    /// assert_eq!(lp.datagrams(key).stats()?.sent, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_send_to(&mut self, data: &[u8], to: SocketAddr) -> io::Result<()> {
        send::try_now(&mut self.cx, self.key, data, Some(to))
    }

    /// The same to the peer that the socket is connected to.
    pub fn try_send(&mut self, data: &[u8]) -> io::Result<()> {
        send::try_now(&mut self.cx, self.key, data, None)
    }

    /// Nothing is received until [`resume`](UdpCx::resume), also of a batch that is being delivered.
    /// Meanwhile datagrams wait in the kernel, up to its receive buffer; it drops what comes beyond.
    pub fn pause(&mut self) {
        let (layer, mut d) = self.cx.layer(&UDP);
        let Some((u, mut h, _)) = layer.lend(&mut d, self.key) else { return };
        if u.life == Life::Open && !u.is.paused {
            u.is.paused = true;
            u.tell(&mut h, || UdpEvent::Pause);
            u.watch(&mut h);
        }
    }

    /// Receiving goes on.
    pub fn resume(&mut self) {
        let (layer, mut d) = self.cx.layer(&UDP);
        let Some((u, mut h, _)) = layer.lend(&mut d, self.key) else { return };
        if u.life == Life::Open && u.is.paused {
            u.is.paused = false;
            u.tell(&mut h, || UdpEvent::Resume);
            u.go_on(&mut h);
        }
    }

    /// Ends the socket: nothing is received any more, and it closes when what is queued was sent.
    pub fn end(&mut self) {
        let (layer, mut d) = self.cx.layer(&UDP);
        let Some((u, mut h, _)) = layer.lend(&mut d, self.key) else { return };
        if u.life == Life::Open {
            u.life = Life::Ending;
            u.watch(&mut h);
            h.pend();
        }
    }

    /// Closes the socket now. What is queued is not sent: datagrams with an id are reported to
    /// `on_sent`, and [`UdpClose::unsent`](crate::UdpClose::unsent) counts all. Then comes
    /// `on_close`.
    pub fn destroy(&mut self) {
        let _ = pass::destroy(&mut self.cx, self.key);
    }

    /// From now on the socket exchanges datagrams with this peer alone. What waits in the queue goes
    /// where it was sent to before.
    pub fn connect(&mut self, peer: SocketAddr) -> io::Result<()> {
        self.cx.validate(self.key)?;
        let (layer, mut d) = self.cx.layer(&UDP);
        let (u, mut h, _) = layer.lend(&mut d, self.key).ok_or(KeyError::Closed)?;
        let socket = u.socket.as_ref().ok_or(KeyError::Closed)?;
        let before = socket.peer_addr().ok();
        socket.connect(crate::sys::reachable(peer))?;
        u.keep_destination(before);
        u.is.connected = true;
        u.tell(&mut h, || UdpEvent::Connected { peer });
        Ok(())
    }

    /// Takes back [`connect`](UdpCx::connect). The port stays the same. `NotConnected` if there is no
    /// peer; `Unsupported` elsewhere than on Linux.
    pub fn disconnect(&mut self) -> io::Result<()> {
        self.cx.validate(self.key)?;
        let (layer, mut d) = self.cx.layer(&UDP);
        let (u, mut h, _) = layer.lend(&mut d, self.key).ok_or(KeyError::Closed)?;
        let socket = u.socket.as_ref().ok_or(KeyError::Closed)?;
        if !u.is.connected {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let before = socket.peer_addr().ok();
        let done = sys::disconnect(socket);
        // It may have failed after the peer was gone: the port is not ours any more.
        u.is.connected = socket.peer_addr().is_ok();
        u.keep_destination(before);
        done?;
        u.tell(&mut h, || UdpEvent::Disconnected);
        Ok(())
    }

    /// Replaces the handler. The old one is dropped after the current callback.
    pub fn set_handler(&mut self, handler: impl UdpHandler) {
        let (layer, mut d) = self.cx.layer(&UDP);
        let old = match layer.get(&d, self.key) {
            Some(u) if u.life != Life::Closing => u.handler.replace(Box::new(handler)),
            _ => Some(Box::new(handler) as Box<dyn UdpHandler>),
        };
        if let Some(old) = old {
            d.bury(old);
        }
    }
}
