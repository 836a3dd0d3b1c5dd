//! The way to what stands above a connection, but for its close: a handler leaves its slot for the
//! time of the call and comes back, also from a panic; a protocol is called as it is.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;
use tidegate_stream::Chunk;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::handler::Handler;
use crate::callbacks::protocol::Protocol;
use crate::callbacks::upper::Upper;
use crate::error::close::Reason;
use crate::event::SocketEvent;
use crate::key::{OWNER, SocketKey};
use crate::state::layer::NET;

/// Calls a handler that was taken out of its slot. It comes back; a panic is the connection's
/// end. Whether the connection is quiet after it.
#[inline(always)]
pub(crate) fn call_taken(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    handler: Box<dyn Handler>,
    f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
) -> bool {
    let index = d.driver().data(&OWNER, key.0).unwrap_or(u64::MAX) as usize;
    call_at(d, key, index, handler, f)
}

/// The same for callers that know the connection's index.
#[inline(always)]
pub(crate) fn call_at(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    index: usize,
    handler: Box<dyn Handler>,
    f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
) -> bool {
    let call = |cx: Cx<'_>, handler: &mut Box<dyn Handler>| {
        f(&mut **handler, &mut SocketCx::new(cx, key));
    };
    let back = move |d: &mut Dispatch<'_>, handler| put_back(d, key, index, handler);
    d.lend(handler, call, back, move |d, handler| cut_off(d, key, index, handler)).1
}

#[inline(always)]
fn put_back(d: &mut Dispatch<'_>, key: SocketKey, index: usize, handler: Box<dyn Handler>) -> bool {
    let (layer, mut d) = d.layer(&NET);
    let Some(s) = layer.sockets.get_mut(index, key) else {
        d.bury(handler);
        return false;
    };
    // What replaces it stirs the connection.
    if s.stirred && !matches!(s.upper, Upper::Away) {
        d.bury(handler);
        return false;
    }
    s.upper.put_back(handler);
    debug_assert!(s.stirred || s.is_quiet());
    !s.stirred
}

#[cold]
#[inline(never)]
fn cut_off(d: &mut Dispatch<'_>, key: SocketKey, index: usize, handler: Box<dyn Handler>) {
    put_back(d, key, index, handler);
    panicked(d, key);
}

#[cold]
pub(crate) fn panicked(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut d) = d.layer(&NET);
    if let Some((s, mut h)) = layer.lend_socket(&mut d, key) {
        s.destroy(&mut h, Reason::Panicked);
    }
}

/// Calls a protocol. A panic is the connection's end. Whether the connection is quiet after it.
pub(crate) fn call_protocol(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    f: impl FnOnce(&mut Dispatch<'_>),
) -> bool {
    d.guard(f, |d| panicked(d, key));
    let (layer, driver) = d.layer(&NET);
    let Some(s) = layer.socket(&driver, key) else { return false };
    debug_assert!(s.stirred || s.is_quiet());
    !s.stirred
}

/// Calls the protocol above a connection, if there is one.
#[cold]
#[inline(never)]
fn call_layer(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    f: impl FnOnce(&mut Dispatch<'_>, &'static Protocol, u64),
) -> bool {
    let (layer, driver) = d.layer(&NET);
    match layer.socket(&driver, key).and_then(|s| s.upper.protocol()) {
        Some((p, data)) => call_protocol(d, key, |d| f(d, p, data)),
        None => false,
    }
}

/// Calls the handler that was taken out from above a connection; if there was none, its protocol.
/// Whether the connection is quiet after it.
#[inline(always)]
pub(crate) fn call_upper(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    handler: Option<Box<dyn Handler>>,
    user: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
    protocol: impl FnOnce(&mut Dispatch<'_>, &'static Protocol, u64),
) -> bool {
    match handler {
        Some(handler) => call_taken(d, key, handler, user),
        None => call_layer(d, key, protocol),
    }
}

/// The only way to what stands above a connection, but for its close.
pub(crate) fn call(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    user: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
    protocol: impl FnOnce(&mut Dispatch<'_>, &'static Protocol, u64),
) {
    let (layer, driver) = d.layer(&NET);
    let handler = layer.socket(&driver, key).and_then(|s| s.upper.take_user());
    call_upper(d, key, handler, user, protocol);
    d.settle();
}

/// What stood above a connection and was replaced. Runs no user code.
pub(crate) fn displaced(cx: &mut Cx<'_>, key: SocketKey, old: Upper) {
    match old {
        Upper::User(handler) => cx.driver().bury(handler),
        Upper::Away => {}
        Upper::Protocol(p, data) => (p.replaced)(cx, key, data),
    }
}

/// It is made: `on_connect`.
pub(crate) fn connect(d: &mut Dispatch<'_>, key: SocketKey) {
    call(d, key, |h, s| h.on_connect(s), |d, p, data| (p.connect)(d, key, data));
}

/// Bytes for the pipe that this is the source of, or for what stands above.
#[inline(never)]
pub(crate) fn received(d: &mut Dispatch<'_>, key: SocketKey, bytes: &mut [u8]) {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return };
    if s.pipes().is_some_and(|p| p.discard.is_some()) {
        return s.discard(&mut h, bytes.len());
    }
    if let Some(pipe) = s.pipes().and_then(|p| p.into) {
        return pipe.data(d, Chunk::Lent(bytes));
    }
    if let Some(handler) = s.upper.take_user() {
        call_taken(d, key, handler, |h, s| h.on_data(s, bytes));
    } else {
        data(d, key, bytes);
    }
    d.settle();
}

/// Bytes for the protocol above. Whether the connection is quiet after it.
pub(crate) fn data(d: &mut Dispatch<'_>, key: SocketKey, bytes: &mut [u8]) -> bool {
    call_layer(d, key, |d, p, data| (p.data)(d, key, data, bytes))
}

/// The peer's end, for what stands above and for the pipe that this is the source of.
pub(crate) fn ended(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return };
    s.duplex.read.eof();
    s.note_end(&h);
    let pipe = s.pipes().and_then(|p| p.into);
    if !std::mem::take(&mut s.end_pulled) {
        s.tell(&mut h, || SocketEvent::End);
    }
    let handler = s.upper.take_user();
    call_upper(d, key, handler, |h, s| h.on_end(s), |d, p, data| (p.end)(d, key, data));
    if let Some(pipe) = pipe {
        pipe.ended(d);
    }
    d.settle();
}
