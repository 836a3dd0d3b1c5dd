//! A server with filters: a connection is accepted, and offered when its filters are ready.
//!
//! | event | next |
//! |---|---|
//! | accepted | its filters are made and started; it counts to `max_connections` |
//! | bytes come | the filters get them: a step, after the other handles of the ready pass; so many steps in one turn, the others wait in a line for the next turns |
//! | they are ready | no more is read before `on_connection`, in a separate dispatch; `on_shutdown` after it if the server shuts down |
//! | it ends before: peer, deadline, filter, the grace of a shutdown | `on_refused` |
//!
//! Until it is offered its handle is of another kind, and it has no handler.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use mio::net::TcpStream;
use slab::Slab;
use tidegate_loop::Key;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Driver, Handle, Kind};

use crate::callbacks::contexts::Incoming;
use crate::event::SocketEvent;
use crate::key::{OWNER, ServerKey, SocketKey};
use crate::server::call::{call, call_taken};
use crate::server::offer;
use crate::socket::filters::news::settle;
use crate::socket::pass::SOCKET;
use crate::socket::{close, expire, pass};
use crate::state::fairness::line::Line;
use crate::state::layer::{Layer, NET, Offer};
use crate::state::listener::Listener;
use crate::state::owed::Owed;
use crate::state::remote::{Counted, new_bits};
use crate::state::socket::Life;
use crate::state::wire::Wire;

/// A connection whose filters are not ready.
static GATED: Kind = Kind::new("socket", &OWNER)
    .ready(|d, raw, data| {
        if let Some(now) = goes_on(d, SocketKey(raw)) {
            step(d, raw, data, now);
        }
    })
    .pending(|d, raw, data| {
        if comes_later(d, SocketKey(raw)) {
            return;
        }
        pass::pending(d, raw, data);
        if offer_ready(d, SocketKey(raw)) {
            pass::go_on(d, SocketKey(raw));
        }
    })
    .close(close::asked)
    .closed(closed)
    .describe(pass::describe);

/// Called for those that wait in the line.
static LINE: Kind = Kind::new("handshakes", &OWNER).ready(serve_line);

/// Why a connection goes on.
enum Step {
    /// Not for its filters.
    Nothing,
    /// For them: the bytes that were read before, and whether it was poked.
    Taken { before: u64, poked: bool },
}

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
    let first_read =
        if l.first_reads.worth_trying() { Readiness::READABLE } else { Readiness::NONE };
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
    h.assume(new_bits(peer) | first_read);
    layer.with(&mut driver, key, |s, h, shared| {
        s.gate(h, shared, &gate, lifetime_ms);
        h.queue_now();
    });
    expire::arm(&mut d.cx(), key);
}

/// Whether it goes on now. With bytes for its filters, or poked, it does a step: after the other
/// handles of this pass, and if this turn has room for it. Otherwise it waits in the line.
fn goes_on(d: &mut Dispatch<'_>, key: SocketKey) -> Option<Step> {
    let turn = d.cx().turn();
    let (layer, mut driver) = d.layer(&NET);
    let Layer { sockets, listeners, line, .. } = layer;
    let mut h = driver.handle(&OWNER, key.0)?;
    let s = sockets.get_mut(h.data() as usize, key)?;
    let before = s.bytes_read;
    let Wire::Filter(stack) = &mut s.wire else { return Some(Step::Nothing) };
    let poked = stack.poked;
    if s.life != Life::Gated || !(poked || h.readiness().has(Readiness::READABLE)) {
        return Some(Step::Nothing);
    }
    if stack.in_line || h.queue_last() {
        return None;
    }
    let most = steps_of(s.server, listeners, &mut h);
    if line.is_empty() && line.take_step(turn, most) || !call_line(line, &mut driver) {
        return Some(Step::Taken { before, poked });
    }
    stack.in_line = true;
    line.push(key);
    None
}

/// How many steps one turn has room for, by the server of a connection.
fn steps_of(server: Option<ServerKey>, listeners: &Slab<Listener>, h: &mut Handle<'_>) -> u32 {
    let index = server.and_then(|server| h.other(&OWNER, server.into())).map(|l| l.data());
    let listener = index.and_then(|index| listeners.get(index as usize));
    listener.map_or(u32::MAX, |l| l.admission.gate.per_turn)
}

/// The first in the line is called in the next turn. `false`: the loop's table has no room for the
/// line's own handle.
fn call_line(line: &mut Line, d: &mut Driver<'_>) -> bool {
    if line.handle.is_none() {
        line.handle = d.insert(&LINE, 0).ok().map(|mut h| {
            h.set_internal();
            h.key()
        });
    }
    let called = line.handle.and_then(|key| d.handle(&OWNER, key)).map(|mut h| h.queue());
    called.is_some()
}

/// Those in the line go on, as many as this turn has room for.
fn serve_line(d: &mut Dispatch<'_>, raw: Key, _: u64) {
    if d.driver().handle(&OWNER, raw).is_some_and(|mut h| h.queue_last()) {
        return;
    }
    let turn = d.cx().turn();
    for _ in 0..d.layer(&NET).0.line.len() {
        let (layer, mut driver) = d.layer(&NET);
        let Layer { sockets, listeners, line, .. } = layer;
        let Some(key) = line.pop() else { break };
        let Some(mut h) = driver.handle(&OWNER, key.0) else { continue };
        let data = h.data();
        let Some(s) = sockets.get_mut(data as usize, key) else { continue };
        let before = s.bytes_read;
        let Wire::Filter(stack) = &mut s.wire else { continue };
        stack.in_line = false;
        if s.life != Life::Gated {
            continue;
        }
        let poked = stack.poked;
        let room = line.take_step(turn, steps_of(s.server, listeners, &mut h));
        if !room {
            stack.in_line = true;
            line.put_back(key);
            break;
        }
        // If a callback in it panics, the loop calls this again.
        step(d, key.0, data, Step::Taken { before, poked });
    }
    let (layer, mut driver) = d.layer(&NET);
    if !layer.line.is_empty() {
        call_line(&mut layer.line, &mut driver);
    }
}

/// One step, which counts if it found something to do.
fn step(d: &mut Dispatch<'_>, raw: Key, data: u64, step: Step) {
    pass::ready(d, raw, data);
    if offer_ready(d, SocketKey(raw)) {
        // What the kernel still has.
        pass::ready(d, raw, data);
    }
    let Step::Taken { before, poked } = step else { return };
    let (layer, driver) = d.layer(&NET);
    if !poked && layer.socket(&driver, SocketKey(raw)).is_some_and(|s| s.bytes_read == before) {
        layer.line.give_step_back();
    }
}

/// Whether it was poked: that is a step, too, and comes in a ready pass.
fn comes_later(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return false };
    let poked = matches!(&s.wire, Wire::Filter(stack) if stack.poked);
    let later = poked && s.life == Life::Gated;
    if later {
        h.queue();
    }
    later
}

/// If its filters are ready, it is an ordinary connection that is offered. `true`: it was
/// offered, is still there, and its pass goes on.
fn offer_ready(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return false };
    if !s.pass_gate() {
        return false;
    }
    h.turn_into(&SOCKET);
    let Some(server) = s.server else { return false };
    let named = s.remote().filter(|_| s.proxied().is_some_and(|p| p.named));
    if named.is_some_and(|peer| !lets_in(d, server, key, peer)) {
        return false;
    }
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, h)) = layer.lend_socket(&mut driver, key) else { return false };
    s.start_lifetime(&h);
    let peer = s.remote();
    layer.offer = Offer::Placed(key);
    let handler = layer.listener(&driver, server).and_then(|l| l.handler.take());
    call_taken(d, server, handler, |h, cx| h.on_connection(Incoming::new(cx, server, peer)));
    settle(d, key);
    let (layer, mut driver) = d.layer(&NET);
    let leaves = layer.listener(&driver, server).is_some_and(|l| l.farewell.is_some());
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return false };
    if leaves && s.duplex.is_open() {
        s.owed.add(Owed::SHUTDOWN);
        h.pend();
    }
    if let Wire::Filter(stack) = &mut s.wire {
        stack.passes_gate = false;
    }
    true
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
