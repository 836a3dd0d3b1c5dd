//! [`Layer`]: what a loop keeps of its servers of HTTP.
#![forbid(unsafe_code)]

use slab::Slab;
use tidegate_loop::kind::LayerId;
use tidegate_net::{RateLimiter, SocketKey};

use crate::callbacks::handler::HttpHandler;
use crate::exchange::key::ExchangeKey;
use crate::exchange::metrics::HttpMetrics;
use crate::exchange::options::HttpOptions;
use crate::state::conn::Conn;
use crate::state::date::Date;

/// The layer of this crate.
pub(crate) static HTTP: LayerId<Layer> = LayerId::new(Layer::default);

#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) conns: Slab<Conn>,
    pub(crate) servers: Slab<Server>,
    pub(crate) output: Output,
    pub(crate) date: Date,
    pub(crate) metrics: HttpMetrics,
}

/// What is written, before the kernel gets it.
#[derive(Default)]
pub(crate) struct Output {
    /// The connection whose bytes are read: its answers are gathered.
    pub(crate) gathering: Option<usize>,
    gathered: Vec<u8>,
    /// For other connections.
    aside: Vec<u8>,
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

    pub(crate) fn options(&self, conn: &Conn) -> HttpOptions {
        self.servers.get(conn.server).map(|s| s.options).unwrap_or_default()
    }
}
