//! A connection between the kernel and the user: accepted by the server, offered to its
//! callback, and not yet taken.
//!
//! | offer | event | next |
//! |---|---|---|
//! | Held | it needs its key, or is accepted | Placed |
//! | Held | rejected, detached, or nothing | gone: it never had a place in the loop |
//! | Placed | accepted | an open connection |
//! | Placed | rejected, detached, or nothing | gone |
//!
//! A server runs its callback for one at a time, so there is one offer in a loop. The API
//! is in `face/incoming.rs`.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use socket2::SockRef;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Driver, Runtime};
use tidegate_loop::{Key, TableFull};
use tidegate_stream::ReadState;

use crate::callbacks::handler::Handler;
use crate::callbacks::protocol::Protocol;
use crate::callbacks::upper::Upper;
use crate::error::close::Reason;
use crate::event::SocketEvent;
use crate::key::{OWNER, ServerKey, SocketKey};
use crate::socket::pass::SOCKET;
use crate::state::layer::{Held, Layer, Offer};
use crate::state::listener::{Counter, Listener};
use crate::state::remote::{Counted, new_bits};
use crate::state::socket::{Life, Socket, Watched};
use crate::state::wire::Wire;
use crate::sys;

/// The offer's key; the connection gets its place in the loop now if it has none. `None` if
/// it was decided already, or the loop's table is full: then it is closed.
pub(crate) fn place(layer: &mut Layer, d: &mut Driver<'_>) -> Option<SocketKey> {
    let held = match std::mem::take(&mut layer.offer) {
        Offer::Held(held) => held,
        Offer::Placed(key) => {
            layer.offer = Offer::Placed(key);
            return Some(key);
        }
        Offer::Nothing => return None,
    };
    let insert = |d: &mut Driver<'_>, index: u64, bits: Readiness| {
        let mut h = d.insert(&SOCKET, index)?;
        h.assume(bits);
        Ok(h.key())
    };
    let s = enter(layer, d, held, Life::Offered, insert)?;
    let key = s.key;
    layer.offer = Offer::Placed(key);
    Some(key)
}

/// It gets its place in the loop. `None` if the loop's table is full: then it is closed.
#[inline(always)]
fn enter<'s>(
    layer: &'s mut Layer,
    d: &mut Driver<'_>,
    held: Held,
    life: Life,
    insert: impl FnOnce(&mut Driver<'_>, u64, Readiness) -> Result<Key, TableFull>,
) -> Option<&'s mut Socket> {
    let counted = held.counted();
    let Held { server, place, stream, peer, .. } = held;
    let Layer { sockets, listeners, .. } = layer;
    let l = listeners.get_mut(place).filter(|l| l.key == server)?;
    let first_read =
        if l.first_reads.worth_trying() { Readiness::READABLE } else { Readiness::NONE };
    let Ok(key) = insert(d, sockets.next() as u64, new_bits(peer) | first_read) else {
        // Counted by the loop, too, and the peer sees a close.
        l.stats.rejected += 1;
        l.closed_one(d, counted);
        return None;
    };
    let s = sockets.make(SocketKey(key), life, &l.stream, d);
    fill(s, l, d, stream, peer);
    if counted.is_some() {
        s.counted = Counted::Transport;
    }
    Some(s)
}

/// What an accepted connection has from its server.
#[inline(always)]
pub(crate) fn fill(
    s: &mut Socket,
    l: &Listener,
    rt: &mut Runtime<'_>,
    stream: TcpStream,
    peer: Option<SocketAddr>,
) {
    apply_options(l, &stream, peer);
    if l.admission.pause_on_connect {
        s.duplex.read.pause();
    }
    s.stream = Some(stream);
    s.server = Some(l.key);
    s.set_remote(peer);
    if rt.is_observed() {
        tell_accepted(s, rt);
    }
}

/// Where an accepted socket does not have those of the one that listens. Those of Unix domain
/// sockets never do.
#[inline]
fn apply_options(l: &Listener, stream: &TcpStream, peer: Option<SocketAddr>) {
    if l.stream.has_any() && (!sys::ACCEPTED_INHERIT || peer.is_none()) {
        // It connects all the same; the peer may be gone already.
        let _ = l.stream.apply(SockRef::from(stream));
    }
}

#[cold]
fn tell_accepted(s: &mut Socket, rt: &mut Runtime<'_>) {
    s.note_local();
    s.tell(rt, || SocketEvent::Accepted);
    if s.duplex.read == ReadState::Paused {
        s.tell(rt, || SocketEvent::Pause);
    }
}

/// Takes the offer: its key, and whether it has deadlines to be armed. Its first dispatch
/// comes in this same ready pass.
pub(crate) fn accept(
    layer: &mut Layer,
    d: &mut Driver<'_>,
    handler: Box<dyn Handler>,
) -> (SocketKey, bool) {
    match std::mem::take(&mut layer.offer) {
        // The ordinary one gets its place as it is accepted.
        Offer::Held(held) => {
            let insert =
                |d: &mut Driver<'_>, index, bits| Ok(d.insert_now(&SOCKET, index, bits)?.key());
            let Some(s) = enter(layer, d, held, Life::Open, insert) else {
                return refused(d, Upper::User(handler));
            };
            s.upper.put_back(handler);
            return (s.key, s.clocks.has_any());
        }
        other => layer.offer = other,
    }
    let taken = take(layer, d, Upper::User(handler));
    taken.unwrap_or_else(|upper| refused(d, upper))
}

/// There was no room for it, or it was destroyed by its key.
#[cold]
fn refused(d: &mut Driver<'_>, upper: Upper) -> (SocketKey, bool) {
    if let Upper::User(handler) = upper {
        d.bury(handler);
    }
    (SocketKey(d.stale_key()), false)
}

/// The same for a layer. `None` if the loop's table is full.
pub(crate) fn accept_as(
    layer: &mut Layer,
    d: &mut Driver<'_>,
    protocol: &'static Protocol,
    data: u64,
) -> Option<(SocketKey, bool)> {
    let (key, deadlines) = take(layer, d, Upper::Protocol(protocol, data)).ok()?;
    layer.socket(d, key)?.steer_reads();
    Some((key, deadlines))
}

#[inline(never)]
fn take(layer: &mut Layer, d: &mut Driver<'_>, upper: Upper) -> Result<(SocketKey, bool), Upper> {
    let Some(key) = place(layer, d) else { return Err(upper) };
    layer.offer = Offer::Nothing;
    let Some((s, mut h)) = layer.lend_socket(d, key) else { return Err(upper) };
    if s.life != Life::Offered {
        return Err(upper);
    }
    let deadlines = s.clocks.has_any();
    s.life = Life::Open;
    // A handler may have been set by the key already.
    if let Upper::User(old) = std::mem::replace(&mut s.upper, upper) {
        h.bury(old);
    }
    // The dispatch that offered it goes on with it.
    if !matches!(&s.wire, Wire::Filter(stack) if stack.passes_gate) {
        h.queue_now();
    }
    Ok((key, deadlines))
}

/// Closes what no user code took.
#[inline]
pub(crate) fn reject(layer: &mut Layer, d: &mut Driver<'_>) {
    match std::mem::take(&mut layer.offer) {
        // The ordinary one has no place yet.
        Offer::Held(held) => {
            let (server, place, counted) = (held.server, held.place, held.counted());
            drop(held.stream);
            if let Some(l) = layer.listener_at(place, server) {
                l.stats.rejected += 1;
                l.closed_one(d, counted);
            }
        }
        other => reject_placed(layer, d, other),
    }
}

#[cold]
#[inline(never)]
fn reject_placed(layer: &mut Layer, d: &mut Driver<'_>, offer: Offer) {
    layer.offer = offer;
    let_go(layer, d, || SocketEvent::Rejected, |stats| &mut stats.rejected);
}

/// Takes the descriptor out, for another loop. Not one of a path, which that could not tell
/// from TCP; nor if bytes of ours wait in its queue, which would be lost.
pub(crate) fn detach(layer: &mut Layer, d: &mut Driver<'_>) -> Option<TcpStream> {
    match &layer.offer {
        Offer::Held(held) if held.peer.is_some() => {}
        Offer::Placed(key) => {
            let s = layer.sockets.get_mut(d.data(&OWNER, key.0)? as usize, *key)?;
            let waits = !s.duplex.write.is_empty() || !s.given_back().is_empty();
            let plain = match &s.wire {
                Wire::Plain => true,
                Wire::Filter(stack) => stack.is_empty(),
            };
            let whole = plain && s.transport().is_some() && !waits;
            let mut stream = if whole { s.stream.take() } else { None }?;
            if std::mem::replace(&mut s.watched, Watched::Nothing) != Watched::Nothing {
                // It goes on elsewhere, so that closing it does not take it from the poller.
                let _ = d.deregister(&mut stream);
            }
            let_go(layer, d, || SocketEvent::Detached, |stats| &mut stats.detached);
            return Some(stream);
        }
        _ => return None,
    }
    let Offer::Held(held) = std::mem::take(&mut layer.offer) else { return None };
    let counted = held.counted();
    let Held { server, stream, peer, .. } = held;
    if let Some(l) = layer.listener(d, server) {
        apply_options(l, &stream, peer);
    }
    gone(layer, d, server, counted, |stats| &mut stats.detached);
    Some(stream)
}

/// It has no handler and needs no closing phase, unless it was destroyed by its key.
pub(crate) fn let_go(
    layer: &mut Layer,
    d: &mut Driver<'_>,
    event: fn() -> SocketEvent,
    counter: Counter,
) {
    let key = match std::mem::take(&mut layer.offer) {
        Offer::Nothing => return,
        Offer::Held(held) => {
            let (server, counted) = (held.server, held.counted());
            drop(held.stream);
            return gone(layer, d, server, counted, counter);
        }
        Offer::Placed(key) => key,
    };
    let Some((s, mut h)) = layer.lend_socket(d, key) else { return };
    if s.life != Life::Offered || !s.duplex.is_open() {
        return;
    }
    let Some(server) = s.server else { return };
    if s.pipes().is_some_and(|p| p.into.is_some() || p.from.is_some()) {
        // The pipes get the close in the closing phase.
        s.destroy(&mut h, Reason::Destroyed);
        if let Some(l) = layer.listener(d, server) {
            *counter(&mut l.stats) += 1;
        }
        return;
    }
    s.tell(&mut h, event);
    s.close_descriptor(&mut h);
    let counted = s.counted();
    let index = h.data();
    h.free();
    let Some(s) = layer.sockets.get_mut(index as usize, key) else { return };
    s.count_bytes(&mut layer.counted);
    // It may have been given a handler or a filter by its key.
    let Some(left) = layer.remove(d, index as usize, key) else { return };
    if let Upper::User(handler) = left.upper {
        d.bury(handler);
    }
    if let Wire::Filter(filters) = left.wire {
        d.bury(filters);
    }
    gone(layer, d, server, counted, counter);
}

/// A connection less, whose peer it counted to, and why.
fn gone(
    layer: &mut Layer,
    d: &mut Driver<'_>,
    server: ServerKey,
    counted: Option<IpAddr>,
    counter: Counter,
) {
    if let Some(l) = layer.listener(d, server) {
        *counter(&mut l.stats) += 1;
        l.closed_one(d, counted);
    }
}
