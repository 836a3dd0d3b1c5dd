//! This layer's state in a loop: sockets, listeners, the offer, and the buffers they share.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use slab::Slab;
use tidegate_loop::kind::{Driver, Handle, LayerId, LayerLimits};
use tidegate_loop::{Cx, LimitError};

use crate::callbacks::filter::Passed;
use crate::key::{OWNER, ServerKey, SocketKey};
use crate::metrics::NetMetrics;
use crate::options::limits::NetLimits;
use crate::state::deadlines::queue::Deadlines;
use crate::state::fairness::claims::Claims;
use crate::state::fairness::crowd::Crowd;
use crate::state::fairness::line::Line;
use crate::state::listener::{Listener, State};
use crate::state::socket::{Remains, Socket};
use crate::state::sockets::Sockets;

/// The layer of this crate.
pub(crate) static NET: LayerId<Layer> = LayerId::new(Layer::default);

/// Kept by the loop, one per loop. The loop's table says which index a key
/// means, and that the key is not stale.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) sockets: Sockets,
    pub(crate) listeners: Slab<Listener>,
    /// The connection that a server's callback decides about.
    pub(crate) offer: Offer,
    pub(crate) shared: Shared,
    pub(crate) deadlines: Deadlines,
    /// What connections counted that are over.
    pub(crate) counted: NetMetrics,
    /// Listeners that wait for a descriptor.
    pub(crate) held: usize,
    pub(crate) claims: Claims,
    /// Connections that go on with getting ready in turns to come.
    pub(crate) line: Line,
    /// Which connections give way beyond `buffered_limit`.
    pub(crate) crowd: Crowd,
}

/// What all sockets of a loop share while one of them is changed.
#[derive(Default)]
pub(crate) struct Shared {
    /// What filters are called with; empty before each call.
    pub(crate) passed: Passed,
    /// What filters made for the kernel.
    pub(crate) wire: Vec<u8>,
    /// Bytes between a caller that reads or writes itself and its filters. One read long.
    pub(crate) between: Vec<u8>,
    pub(crate) limits: NetLimits,
    /// Bytes of memory that all write queues hold.
    pub(crate) buffered: usize,
    /// What was queued beyond `buffered_limit` by the change that runs.
    pub(crate) crowded: Crowded,
}

impl LayerLimits for NetLimits {
    fn check(&self) -> Result<(), LimitError> {
        self.none_is_zero()
    }

    fn set(&self, cx: &mut Cx<'_>) {
        cx.layer(&NET).0.shared.limits = self.clone();
    }
}

/// What was queued although `buffered_limit` was passed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Crowded {
    #[default]
    No,
    /// What the user wrote: other connections give way.
    Write,
    /// A filter's answer to the peer: any connection gives way, this one too.
    Answer,
}

/// What the callback that runs was offered.
#[derive(Default)]
pub(crate) enum Offer {
    #[default]
    Nothing,
    Held(Held),
    Placed(SocketKey),
}

pub(crate) struct Held {
    pub(crate) server: ServerKey,
    /// The server's index among the listeners.
    pub(crate) place: usize,
    pub(crate) stream: TcpStream,
    pub(crate) peer: Option<SocketAddr>,
    /// Whether it counts to the connections of its peer.
    pub(crate) counted: bool,
}

impl Held {
    /// Whose connections it counts to.
    pub(crate) fn counted(&self) -> Option<IpAddr> {
        self.peer.filter(|_| self.counted).map(|peer| peer.ip())
    }
}

impl Layer {
    #[inline]
    pub(crate) fn socket(&mut self, d: &Driver<'_>, key: SocketKey) -> Option<&mut Socket> {
        self.sockets.get_mut(d.data(&OWNER, key.0)? as usize, key)
    }

    pub(crate) fn listener(&mut self, d: &Driver<'_>, key: ServerKey) -> Option<&mut Listener> {
        self.listeners.get_mut(d.data(&OWNER, key.0)? as usize)
    }

    /// A server for callers that know its index.
    #[inline(always)]
    pub(crate) fn listener_at(&mut self, index: usize, key: ServerKey) -> Option<&mut Listener> {
        self.listeners.get_mut(index).filter(|l| l.key == key)
    }

    /// A connection, and its handle, to change it.
    #[inline]
    pub(crate) fn lend_socket<'s, 'd>(
        &'s mut self,
        d: &'d mut Driver<'_>,
        key: SocketKey,
    ) -> Option<(&'s mut Socket, Handle<'d>)> {
        let handle = d.handle(&OWNER, key.0)?;
        let socket = self.sockets.get_mut(handle.data() as usize, key)?;
        socket.stirred = true;
        Some((socket, handle))
    }

    /// A server, and its handle.
    pub(crate) fn lend_listener<'s, 'd>(
        &'s mut self,
        d: &'d mut Driver<'_>,
        key: ServerKey,
    ) -> Option<(&'s mut Listener, Handle<'d>)> {
        let handle = d.handle(&OWNER, key.0)?;
        let listener = self.listeners.get_mut(handle.data() as usize)?;
        Some((listener, handle))
    }

    /// A descriptor came free, or may have: queues a server that waits for one. In its pending
    /// phase all that wait come back.
    #[cold]
    pub(crate) fn pend_held(&self, d: &mut Driver<'_>) {
        let is_held = |l: &&Listener| matches!(l.state, State::Held(_));
        let held = self.listeners.iter().map(|(_, l)| l).find(is_held);
        if let Some(mut handle) = held.and_then(|l| d.handle(&OWNER, l.key.0)) {
            handle.pend();
        }
    }

    /// A connection is over: its place is free, and what is left of it is the caller's.
    #[inline(always)]
    pub(crate) fn remove(
        &mut self,
        d: &Driver<'_>,
        index: usize,
        key: SocketKey,
    ) -> Option<Remains> {
        let s = self.sockets.get_mut(index, key)?;
        self.shared.buffered -= s.duplex.write.held() + s.given_back().len();
        // Nobody has this key.
        s.key = SocketKey(d.stale_key());
        let remains = s.remains();
        self.sockets.free(index);
        if self.sockets.len() == 0 {
            self.deadlines.clear();
            self.crowd.clear();
        }
        Some(remains)
    }
}
