//! The way to the callbacks of a UDP socket, but for its close: the handler leaves its slot for the
//! time of the call and comes back, also from a panic.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;

use crate::callbacks::contexts::UdpCx;
use crate::callbacks::udp_handler::UdpHandler;
use crate::datagram::UdpReason;
use crate::key::UdpKey;
use crate::udp::state::UDP;

/// Calls a handler that was taken out of its slot. A panic is the socket's end, and `lost` says how
/// many datagrams were received and are not delivered because of it.
#[inline(always)]
pub(crate) fn call_taken(
    d: &mut Dispatch<'_>,
    key: UdpKey,
    handler: Box<dyn UdpHandler>,
    f: impl FnOnce(&mut dyn UdpHandler, &mut UdpCx<'_>),
    lost: impl Fn() -> usize,
) {
    let call = |cx: Cx<'_>, handler: &mut Box<dyn UdpHandler>| {
        f(&mut **handler, &mut UdpCx::new(cx, key));
    };
    let back = |d: &mut Dispatch<'_>, handler| put_back(d, key, handler);
    d.lend(handler, call, back, |d, handler| {
        cut_off(d, key, handler, lost());
    });
    d.settle();
}

#[inline(always)]
fn put_back(d: &mut Dispatch<'_>, key: UdpKey, handler: Box<dyn UdpHandler>) {
    let (layer, mut d) = d.layer(&UDP);
    match layer.get(&d, key) {
        // It was replaced.
        Some(u) if u.handler.is_some() => d.bury(handler),
        Some(u) => u.handler = Some(handler),
        None => d.bury(handler),
    }
}

#[cold]
fn cut_off(d: &mut Dispatch<'_>, key: UdpKey, handler: Box<dyn UdpHandler>, lost: usize) {
    put_back(d, key, handler);
    let (layer, mut d) = d.layer(&UDP);
    if let Some((u, mut h, _)) = layer.lend(&mut d, key) {
        u.is.corked = false;
        u.rare().lost += lost;
        u.destroy(&mut h, UdpReason::Panicked);
    }
}

/// The only way to a socket's callbacks, but for `on_datagram` and `on_close`.
pub(crate) fn call(
    d: &mut Dispatch<'_>,
    key: UdpKey,
    f: impl FnOnce(&mut dyn UdpHandler, &mut UdpCx<'_>),
) {
    let (layer, driver) = d.layer(&UDP);
    let handler = layer.get(&driver, key).and_then(|u| u.handler.take());
    if let Some(handler) = handler {
        call_taken(d, key, handler, f, || 0);
    }
}
