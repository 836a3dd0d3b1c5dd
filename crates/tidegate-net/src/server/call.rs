//! The way to a server's callbacks, but for `on_close`: the handler leaves its slot for the
//! time of the call and comes back, also from a panic. An offer that is still open then is
//! rejected.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;

use crate::callbacks::contexts::ServerCx;
use crate::callbacks::server_handler::ServerHandler;
use crate::key::{OWNER, ServerKey};
use crate::server::offer;
use crate::state::layer::{NET, Offer};

/// Calls a handler that was taken out of its slot. It comes back, also from a panic, and an offer
/// that is still open is rejected.
#[inline(always)]
pub(crate) fn call_taken(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    handler: Option<Box<dyn ServerHandler>>,
    f: impl FnOnce(&mut dyn ServerHandler, Cx<'_>),
) {
    let index = d.driver().data(&OWNER, server.0).unwrap_or(u64::MAX) as usize;
    call_at(d, server, index, handler, f);
}

/// The same for callers that know the server's index.
#[inline(always)]
pub(crate) fn call_at(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    index: usize,
    handler: Option<Box<dyn ServerHandler>>,
    f: impl FnOnce(&mut dyn ServerHandler, Cx<'_>),
) {
    let call = |cx: Cx<'_>, handler: &mut Option<Box<dyn ServerHandler>>| {
        if let Some(handler) = handler {
            f(&mut **handler, cx);
        }
    };
    let back = move |d: &mut Dispatch<'_>, handler| put_back(d, server, index, handler);
    d.lend(handler, call, back, move |d, handler| cut_off(d, server, index, handler));
    d.settle();
}

#[cold]
#[inline(never)]
fn cut_off(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    index: usize,
    handler: Option<Box<dyn ServerHandler>>,
) {
    put_back(d, server, index, handler);
}

#[inline(always)]
fn put_back(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    index: usize,
    handler: Option<Box<dyn ServerHandler>>,
) {
    let (layer, mut d) = d.layer(&NET);
    match layer.listener_at(index, server) {
        Some(l) => l.handler = handler,
        None => d.bury(handler),
    }
    if !matches!(layer.offer, Offer::Nothing) {
        offer::reject(layer, &mut d);
    }
}

/// The only way to a server's callbacks, but for `on_connection` and `on_close`.
#[inline]
pub(crate) fn call(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    f: impl FnOnce(&mut dyn ServerHandler, &mut ServerCx<'_>),
) {
    let (layer, driver) = d.layer(&NET);
    let handler = layer.listener(&driver, server).and_then(|l| l.handler.take());
    call_taken(d, server, handler, |h, cx| f(h, &mut ServerCx::new(cx, server)));
}
