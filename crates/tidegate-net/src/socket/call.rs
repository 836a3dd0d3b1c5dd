//! The way to a connection's callbacks, but for `on_close`: the handler leaves its slot for the
//! time of the call and comes back, also from a panic.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;
use tidegate_stream::Chunk;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::handler::Handler;
use crate::error::close::Reason;
use crate::event::SocketEvent;
use crate::key::SocketKey;
use crate::state::layer::NET;

/// Calls a handler that was taken out of its slot. It comes back; a panic is the connection's
/// end. Whether the connection is quiet after it.
#[inline(always)]
pub(crate) fn call_taken(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    handler: Option<Box<dyn Handler>>,
    f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
) -> bool {
    let Some(handler) = handler else { return false };
    let call = |cx: Cx<'_>, handler: &mut Box<dyn Handler>| {
        f(&mut **handler, &mut SocketCx::new(cx, key));
    };
    let back = |d: &mut Dispatch<'_>, handler| put_back(d, key, handler);
    d.lend(handler, call, back, |d, handler| cut_off(d, key, handler)).1
}

#[inline(always)]
fn put_back(d: &mut Dispatch<'_>, key: SocketKey, handler: Box<dyn Handler>) -> bool {
    let (layer, mut d) = d.layer(&NET);
    let Some(s) = layer.socket(&d, key) else {
        d.bury(handler);
        return false;
    };
    if s.handler.is_none() {
        s.handler = Some(handler);
    } else {
        // Replaced by `set_handler`, whose value stays.
        d.bury(handler);
    }
    debug_assert!(s.stirred || s.is_quiet());
    !s.stirred
}

#[cold]
fn cut_off(d: &mut Dispatch<'_>, key: SocketKey, handler: Box<dyn Handler>) {
    put_back(d, key, handler);
    let (layer, mut d) = d.layer(&NET);
    if let Some((s, mut h)) = layer.lend_socket(&mut d, key) {
        s.destroy(&mut h, Reason::Panicked);
    }
}

/// The only way to a connection's callbacks, but for `on_close`.
pub(crate) fn call(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
) {
    let (layer, driver) = d.layer(&NET);
    let handler = layer.socket(&driver, key).and_then(|s| s.handler.take());
    call_taken(d, key, handler, f);
    d.settle();
}

/// Bytes for the pipe that this is the source of, or for the handler.
pub(crate) fn received(d: &mut Dispatch<'_>, key: SocketKey, bytes: &[u8]) {
    let (layer, driver) = d.layer(&NET);
    match layer.socket(&driver, key).and_then(|s| s.pipes()).and_then(|p| p.into) {
        Some(pipe) => pipe.data(d, Chunk::Lent(bytes)),
        None => call(d, key, |h, s| h.on_data(s, bytes)),
    }
}

/// The peer's end, for the handler and for the pipe that this is the source of.
pub(crate) fn ended(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return };
    s.duplex.read.eof();
    s.note_end(&h);
    let pipe = s.pipes().and_then(|p| p.into);
    s.tell(&mut h, || SocketEvent::End);
    let handler = s.handler.take();
    call_taken(d, key, handler, |h, s| h.on_end(s));
    if let Some(pipe) = pipe {
        pipe.ended(d);
    }
    d.settle();
}
