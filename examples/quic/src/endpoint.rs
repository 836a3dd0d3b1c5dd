//! [`Quic`]: an endpoint of QUIC on one UDP socket.
//!
//! ```text
//! on_datagram -> Endpoint::handle -> the connection -> App
//! the timer   -> Connection::handle_timeout            |
//! send_with   <- Connection::poll_transmit <-----------+
//! ```
//! What a connection wants to send leaves as a run of equal datagrams, which the kernel cuts. If the
//! socket's queue is full, connections are asked for no more until `on_drain`.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint,
    EndpointConfig, Event, ServerConfig, Transmit, VarInt,
};
use tidegate::TimerKey;
use tidegate::net::{Ecn, Meta, SendError, SendOptions, UdpClose, UdpOptions};
use tidegate::prelude::*;

/// Datagrams that a connection may send as one run.
const RUN: usize = 40;

/// When no connection wants the timer.
const LONG: Duration = Duration::from_secs(3600);

/// More connections at once are refused.
const MOST: usize = 10_000;

/// What a program does with its connections.
pub(crate) trait App: 'static {
    /// Something happened to a connection.
    fn on_event(&mut self, c: &mut Connection, id: ConnectionHandle, event: Event, now: Instant);
    /// A connection is over, and so many are left. Whether the endpoint is to end.
    fn on_end(&mut self, id: ConnectionHandle, left: usize) -> bool;
}

/// Whom to connect to.
pub(crate) struct Connecting {
    pub(crate) to: SocketAddr,
    pub(crate) name: &'static str,
    pub(crate) config: ClientConfig,
}

/// The handler of the socket, and what its timer shares with it.
pub(crate) struct Quic<A>(Rc<RefCell<State<A>>>);

impl<A> Clone for Quic<A> {
    fn clone(&self) -> Quic<A> {
        Quic(self.0.clone())
    }
}

struct State<A> {
    endpoint: Endpoint,
    connections: HashMap<ConnectionHandle, Connection>,
    app: A,
    /// One timer for all connections.
    timer: Option<TimerKey>,
    out: Vec<u8>,
}

impl<A: App> Quic<A> {
    pub(crate) fn new(server: Option<Arc<ServerConfig>>, app: A) -> Quic<A> {
        // The socket sends no fragments, so the path MTU may be searched for.
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), server, true, None);
        let (connections, out) = (HashMap::new(), Vec::new());
        Quic(Rc::new(RefCell::new(State { endpoint, connections, app, timer: None, out })))
    }

    /// Opens the socket, and maybe a connection.
    pub(crate) fn open(
        &self,
        lp: &mut Loop,
        at: &str,
        connecting: Option<Connecting>,
    ) -> Result<UdpKey, Box<dyn std::error::Error>> {
        let options = UdpOptions::new(at)
            .packet_info(true)
            .ecn(true)
            .dont_fragment(true)
            .receive_offload(true)
            .receive_buffer(1 << 20);
        let key = lp.udp(options, self.clone())?;
        let quic = self.clone();
        let timer = lp.timer(LONG, move |cx, _| {
            let mut u = cx.datagrams(key);
            quic.0.borrow_mut().expire(&mut u);
        });
        let mut state = self.0.borrow_mut();
        state.timer = Some(timer);
        if let Some(Connecting { to, name, config }) = connecting {
            let (id, c) = state.endpoint.connect(Instant::now(), config, to, name)?;
            state.connections.insert(id, c);
            state.drive(&mut lp.datagrams(key), id, Instant::now());
        }
        Ok(key)
    }

    /// Tells every peer, and ends the socket when what is queued was sent.
    pub(crate) fn close(&self, u: &mut UdpCx<'_>) {
        let mut state = self.0.borrow_mut();
        let (now, ids) = (Instant::now(), state.ids());
        for id in ids {
            if let Some(c) = state.connections.get_mut(&id) {
                c.close(now, VarInt::from_u32(0), "the server ends".into());
            }
            state.drive(u, id, now);
        }
        state.end(u);
    }
}

impl<A: App> State<A> {
    fn ids(&self) -> Vec<ConnectionHandle> {
        self.connections.keys().copied().collect()
    }

    fn end(&mut self, u: &mut UdpCx<'_>) {
        if let Some(timer) = self.timer.take() {
            let _ = u.cx().timer_stop(timer);
        }
        u.end();
    }

    fn receive(&mut self, u: &mut UdpCx<'_>, data: &[u8], meta: &Meta) {
        let now = Instant::now();
        let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn.bits()));
        self.out.clear();
        let (data, out) = (BytesMut::from(data), &mut self.out);
        match self.endpoint.handle(now, meta.from, meta.to, ecn, data, out) {
            Some(DatagramEvent::ConnectionEvent(id, event)) => {
                if let Some(c) = self.connections.get_mut(&id) {
                    c.handle_event(event);
                    self.drive(u, id, now);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) if self.connections.len() >= MOST => {
                self.out.clear();
                let transmit = self.endpoint.refuse(incoming, &mut self.out);
                let _ = self.send(u, &transmit);
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.out.clear();
                match self.endpoint.accept(incoming, now, &mut self.out, None) {
                    Ok((id, c)) => {
                        self.connections.insert(id, c);
                        self.drive(u, id, now);
                    }
                    Err(e) => {
                        let _ = e.response.map(|transmit| self.send(u, &transmit));
                    }
                }
            }
            Some(DatagramEvent::Response(transmit)) => {
                let _ = self.send(u, &transmit);
            }
            None => {}
        }
    }

    /// One connection: its events, what it wants to send, and when it wants to be called.
    fn drive(&mut self, u: &mut UdpCx<'_>, id: ConnectionHandle, now: Instant) {
        let Some(c) = self.connections.get_mut(&id) else { return };
        loop {
            if let Some(event) = c.poll() {
                self.app.on_event(c, id, event, now);
            } else if let Some(event) = c.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(id, event) {
                    c.handle_event(event);
                }
            } else {
                break;
            }
        }
        loop {
            let Some(c) = self.connections.get_mut(&id) else { return };
            self.out.clear();
            let Some(transmit) = c.poll_transmit(now, RUN, &mut self.out) else { break };
            if self.send(u, &transmit) != SendFlow::Ready {
                // What it has beyond this waits for `on_drain`.
                break;
            }
        }
        if self.connections.get(&id).is_some_and(Connection::is_drained) {
            self.connections.remove(&id);
            if self.app.on_end(id, self.connections.len()) {
                return self.end(u);
            }
        }
        self.arm(u, now);
    }

    /// What the socket does not accept is lost as any datagram may be, and QUIC sends it again.
    fn send(&mut self, u: &mut UdpCx<'_>, transmit: &Transmit) -> SendFlow {
        let mut how = SendOptions::to(transmit.destination);
        how.from = transmit.src_ip;
        how.ecn = transmit.ecn.map(|ecn| Ecn::from_bits(ecn as u8));
        how.segment = transmit.segment_size.and_then(|len| u16::try_from(len).ok());
        u.send_with(&self.out[..transmit.size], how)
    }

    /// The timer comes when the first connection wants it.
    fn arm(&mut self, u: &mut UdpCx<'_>, now: Instant) {
        let first = self.connections.values_mut().filter_map(Connection::poll_timeout).min();
        let Some(timer) = self.timer else { return };
        let after = first.map_or(LONG, |at| at.saturating_duration_since(now));
        let _ = u.cx().timer_reset(timer, after);
    }

    fn expire(&mut self, u: &mut UdpCx<'_>) {
        let now = Instant::now();
        for id in self.ids() {
            let Some(c) = self.connections.get_mut(&id) else { continue };
            if c.poll_timeout().is_some_and(|at| at <= now) {
                c.handle_timeout(now);
                self.drive(u, id, now);
            }
        }
        self.arm(u, now);
    }
}

impl<A: App> UdpHandler for Quic<A> {
    fn on_datagram(&mut self, u: &mut UdpCx<'_>, data: &[u8], meta: &Meta) {
        self.0.borrow_mut().receive(u, data, meta);
    }

    fn on_drain(&mut self, u: &mut UdpCx<'_>) {
        let mut state = self.0.borrow_mut();
        let (now, ids) = (Instant::now(), state.ids());
        ids.into_iter().for_each(|id| state.drive(u, id, now));
    }

    // A probe of the path MTU was too big, or the network is away for a moment: a lost datagram.
    fn on_send_error(&mut self, _: &mut UdpCx<'_>, _: SendError) {}

    fn on_close(&mut self, _: &mut UdpCx<'_>, close: UdpClose) {
        let stats = close.stats;
        println!(
            "{close}: {} datagrams in by {} calls, {} out by {}",
            stats.received, stats.receive_calls, stats.sent, stats.send_calls
        );
    }
}
