//! A server with filters: a connection is accepted, and offered when its filters are ready.
//!
//! | event | next |
//! |---|---|
//! | accepted | its filters are made and started; it counts to `max_connections` |
//! | bytes come | the filters get them; of so many connections in one turn, then the next turn |
//! | they are ready | `on_connection`, in a separate dispatch |
//! | it ends before: peer, deadline, filter, shutdown | `on_refused` |
//!
//! Until it is offered its handle is of another kind, and it has no handler.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use mio::net::TcpStream;
use tidegate_loop::Key;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Kind};

use crate::callbacks::contexts::Incoming;
use crate::event::SocketEvent;
use crate::key::{OWNER, ServerKey, SocketKey};
use crate::server::call::{call, call_taken};
use crate::server::offer;
use crate::socket::filter::settle;
use crate::socket::pass::SOCKET;
use crate::socket::{close, expire, pass};
use crate::state::layer::{Layer, NET, Offer};
use crate::state::remote::{Counted, new_bits};
use crate::state::socket::Life;

/// A connection whose filters are not ready.
static GATED: Kind = Kind::new("socket", &OWNER)
    .ready(|d, raw, data| {
        if !goes_on(d, SocketKey(raw)) {
            return;
        }
        pass::ready(d, raw, data);
        offer_ready(d, SocketKey(raw));
    })
    .pending(|d, raw, data| {
        pass::pending(d, raw, data);
        offer_ready(d, SocketKey(raw));
    })
    .close(close::asked)
    .closed(closed)
    .describe(pass::describe);

/// Takes a connection in. Its first dispatch, which offers it if its filters are ready, comes in
/// this same ready pass.
#[cold]
pub(crate) fn admit(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    stream: TcpStream,
    peer: Option<SocketAddr>,
    counted: bool,
) {
    let (layer, mut driver) = d.layer(&NET);
    let Layer { sockets, listeners, .. } = layer;
    let Some(index) = driver.data(&OWNER, server.0) else { return };
    let Some(l) = listeners.get_mut(index as usize) else { return };
    let (gate, lifetime_ms) = (l.admission.gate.clone(), l.stream.deadlines.lifetime_ms);
    let Ok(mut h) = driver.insert(&GATED, sockets.next() as u64) else {
        l.stats.rejected += 1;
        let counted = peer.filter(|_| counted).map(|peer| peer.ip());
        return l.closed_one(&mut driver, counted);
    };
    let key = SocketKey(h.key());
    let s = sockets.make(key, Life::Gated, &l.stream, &h);
    offer::fill(s, l, &mut h, stream, peer);
    if counted {
        s.counted = Counted::Transport;
    }
    h.assume(new_bits(peer) | Readiness::READABLE);
    layer.with(&mut driver, key, |s, h, shared| {
        s.gate(h, shared, &gate, lifetime_ms);
        h.queue_now();
    });
    expire::arm(&mut d.cx(), key);
}

/// Whether its filters get what came in this turn: those of so many others did already. Otherwise
/// it is queued for the next turn.
fn goes_on(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    let turn = d.cx().turn();
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return false };
    if s.life != Life::Gated || !h.readiness().has(Readiness::READABLE) {
        return true;
    }
    let index = s.server.and_then(|server| h.other(&OWNER, server.into())).map(|l| l.data());
    let Some(l) = index.and_then(|i| layer.listeners.get_mut(i as usize)) else { return true };
    if l.gated.0 != turn {
        l.gated = (turn, 0);
    }
    let room = l.gated.1 < l.admission.gate.per_turn;
    match room {
        true => l.gated.1 += 1,
        false => h.queue(),
    }
    room
}

/// If its filters are ready, it is an ordinary connection that is offered.
fn offer_ready(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return };
    if !s.pass_gate() {
        return;
    }
    h.turn_into(&SOCKET);
    let Some(server) = s.server else { return };
    let named = s.remote().filter(|_| s.proxied().is_some_and(|p| p.named));
    if named.is_some_and(|peer| !lets_in(d, server, key, peer)) {
        return;
    }
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, h)) = layer.lend_socket(&mut driver, key) else { return };
    s.start_lifetime(&h);
    let peer = s.remote();
    layer.offer = Offer::Placed(key);
    let handler = layer.listener(&driver, server).and_then(|l| l.handler.take());
    call_taken(d, server, handler, |h, cx| h.on_connection(Incoming::new(cx, server, peer)));
    settle(d, key);
}

/// Whether the peer that a header named may come in; if not, the connection is closed, without a
/// callback, and counted.
fn lets_in(d: &mut Dispatch<'_>, server: ServerKey, key: SocketKey, peer: SocketAddr) -> bool {
    let (layer, mut driver) = d.layer(&NET);
    let Some(l) = layer.listener(&driver, server) else { return false };
    let names_peer = l.admission.gate.names_peer;
    let admitted = l.ask_block_list(&mut driver, peer).and_then(|()| match names_peer {
        true => l.count_peer(&mut driver, peer),
        false => Ok(false),
    });
    match admitted {
        Ok(counted) => {
            if let Some(s) = layer.socket(&driver, key).filter(|_| counted) {
                s.counted = Counted::Peer;
            }
            true
        }
        Err(counter) => {
            layer.offer = Offer::Placed(key);
            offer::let_go(layer, &mut driver, || SocketEvent::Rejected, counter);
            false
        }
    }
}

/// It is over before it was offered.
fn closed(d: &mut Dispatch<'_>, raw: Key, index: u64) {
    close::over(d, raw, index, |d, s, close| {
        let Some(server) = s.server else { return };
        let (layer, driver) = d.layer(&NET);
        if let Some(l) = layer.listener(&driver, server) {
            l.stats.refused += 1;
        }
        call(d, server, |h, cx| h.on_refused(cx, close));
    });
}
