//! [`Layer`]: what a loop keeps of its servers of HTTP.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use slab::Slab;
use tidegate_loop::Key;
use tidegate_loop::kind::LayerId;
use tidegate_net::{RateLimiter, SocketKey};

use crate::callbacks::handler::HttpHandler;
use crate::exchange::key::ExchangeKey;
use crate::exchange::metrics::HttpMetrics;
use crate::exchange::options::HttpOptions;
use crate::state::conn::{Conn, Over};
use crate::state::date::Date;
use crate::state::deadlines::Deadlines;
use crate::state::held::Held;
use crate::state::prepared::Prepared;

/// The layer of this crate.
pub(crate) static HTTP: LayerId<Layer> = LayerId::new(Layer::default);

#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) conns: Slab<Conn>,
    pub(crate) servers: Slab<Server>,
    pub(crate) output: Output,
    pub(crate) date: Date,
    pub(crate) prepared: Prepared,
    pub(crate) deadlines: Deadlines,
    pub(crate) held: Held,
    pub(crate) metrics: HttpMetrics,
    /// What is still to be told of connections that are not ours any more.
    pub(crate) left: VecDeque<Over>,
    /// The handle that is called for it.
    pub(crate) teller: Option<Key>,
}

/// What is written, before the kernel gets it.
#[derive(Default)]
pub(crate) struct Output {
    /// The connection whose bytes are read: its answers are gathered.
    pub(crate) gathering: Option<usize>,
    gathered: Vec<u8>,
    /// For other connections.
    aside: Vec<u8>,
    /// Of what is gathered, so many answers belong to requests that came in this turn.
    pub(crate) answered: u32,
}

impl Output {
    /// Whether what this connection writes waits for the end of its read.
    #[inline]
    pub(crate) fn gathers(&self, at: usize) -> bool {
        self.gathering == Some(at)
    }

    /// Where this connection writes.
    #[inline]
    pub(crate) fn of(&mut self, at: usize) -> &mut Vec<u8> {
        match self.gathers(at) {
            true => &mut self.gathered,
            false => &mut self.aside,
        }
    }
}

pub(crate) struct Server {
    pub(crate) options: HttpOptions,
    /// How often each client may ask.
    pub(crate) limiter: Option<RateLimiter>,
    /// `None` while it is called.
    pub(crate) handler: Option<Box<dyn HttpHandler>>,
    /// It serves one connection that was there before, and is over with it.
    pub(crate) is_attached: bool,
}

impl Layer {
    /// A connection by its place, if it is still that of this socket.
    #[inline]
    pub(crate) fn conn(&mut self, at: usize, socket: SocketKey) -> Option<&mut Conn> {
        self.conns.get_mut(at).filter(|c| c.socket == socket)
    }

    /// The connection that is in this exchange.
    #[inline]
    pub(crate) fn exchange(&mut self, key: ExchangeKey) -> Option<&mut Conn> {
        self.conns.get_mut(key.at()).filter(|c| c.is_in(key))
    }

    /// A connection and the options of its server.
    #[inline]
    pub(crate) fn with_options(
        &mut self,
        at: usize,
        socket: SocketKey,
    ) -> Option<(&mut Conn, &HttpOptions)> {
        let conn = self.conns.get_mut(at).filter(|c| c.socket == socket)?;
        // A server lives as long as its connections.
        let server = self.servers.get(conn.server)?;
        Some((conn, &server.options))
    }

    /// Takes a connection out; and its server, if that served it alone.
    pub(crate) fn remove(&mut self, at: usize) -> (Conn, Option<Server>) {
        let conn = self.conns.remove(at);
        let alone = self.servers.get(conn.server).is_some_and(|s| s.is_attached);
        let server = if alone { self.servers.try_remove(conn.server) } else { None };
        (conn, server)
    }
}
