//! The way to a server's callbacks, but for `on_close`: the handler leaves its slot for the
//! time of the call and comes back, also from a panic. An offer that is still open then is
//! rejected.
#![forbid(unsafe_code)]

use tidegate_loop::kind::Dispatch;

use crate::callbacks::contexts::ServerCx;
use crate::callbacks::server_handler::ServerHandler;
use crate::key::ServerKey;
use crate::server::offer;
use crate::state::layer::{NET, Offer};

/// A server's handler, out of its slot for the time of its call.
pub(crate) struct Called<'a, 'b> {
    pub(crate) d: &'a mut Dispatch<'b>,
    pub(crate) server: ServerKey,
    pub(crate) handler: Option<Box<dyn ServerHandler>>,
}

impl Drop for Called<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        let handler = self.handler.take();
        let (layer, mut d) = self.d.layer(&NET);
        match layer.listener(&d, self.server) {
            Some(l) => l.handler = handler,
            None => d.bury(handler),
        }
        if !matches!(layer.offer, Offer::Nothing) {
            offer::reject(layer, &mut d);
        }
    }
}

/// The only way to a server's callbacks, but for `on_close`.
#[inline]
pub(crate) fn call(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    f: impl FnOnce(&mut dyn ServerHandler, &mut ServerCx<'_>),
) {
    let (layer, driver) = d.layer(&NET);
    let handler = layer.listener(&driver, server).and_then(|l| l.handler.take());
    let mut called = Called { d, server, handler };
    if let Some(handler) = &mut called.handler {
        f(&mut **handler, &mut ServerCx::new(called.d.cx(), server));
    }
    drop(called);
    d.settle();
}
