//! The way to a connection's callbacks, but for `on_close`: the handler leaves its slot for the
//! time of the call and comes back, also from a panic.
#![forbid(unsafe_code)]

use tidegate_loop::kind::Dispatch;
use tidegate_stream::Chunk;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::handler::Handler;
use crate::error::close::Reason;
use crate::key::{OWNER, SocketKey};
use crate::state::layer::NET;
use crate::state::socket::Socket;

/// A handler that left its slot for the time of its call. It comes back by `run`; dropped
/// by a panic it is put back all the same, and the panic is the connection's end.
pub(crate) struct Called<'a, 'b> {
    pub(crate) d: &'a mut Dispatch<'b>,
    pub(crate) key: SocketKey,
    pub(crate) handler: Option<Box<dyn Handler>>,
}

impl Called<'_, '_> {
    /// Makes the call. Whether the connection is quiet after it.
    #[inline(always)]
    pub(crate) fn run(mut self, f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>)) -> bool {
        let Some(handler) = &mut self.handler else { return false };
        f(&mut **handler, &mut SocketCx::new(self.d.cx(), self.key));
        let handler = self.handler.take();
        let quiet = self.put_back(handler).is_some_and(|s| {
            debug_assert!(s.stirred || s.is_quiet());
            !s.stirred
        });
        std::mem::forget(self);
        quiet
    }

    #[inline(always)]
    fn put_back(&mut self, handler: Option<Box<dyn Handler>>) -> Option<&mut Socket> {
        let (layer, mut d) = self.d.layer(&NET);
        match layer.socket(&d, self.key) {
            Some(s) if s.handler.is_none() => {
                s.handler = handler;
                Some(s)
            }
            // Replaced by `set_handler`, whose value stays.
            s => {
                d.bury(handler);
                s
            }
        }
    }
}

impl Drop for Called<'_, '_> {
    #[cold]
    fn drop(&mut self) {
        let Some(handler) = self.handler.take() else { return };
        self.put_back(Some(handler));
        let (layer, mut d) = self.d.layer(&NET);
        if let Some((s, mut h)) = layer.lend_socket(&mut d, self.key) {
            s.destroy(&mut h, Reason::Panicked);
        }
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
    call_only(d, key, handler, f);
    d.settle();
}

/// The same for callers that already took the handler, and that settle by themselves: they
/// have more to tell before.
#[inline]
pub(crate) fn call_only(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    handler: Option<Box<dyn Handler>>,
    f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
) {
    Called { d, key, handler }.run(f);
}

/// An attempt has won: `on_connect`. Reading comes in the connection's own dispatch.
pub(crate) fn opened(d: &mut Dispatch<'_>, key: SocketKey) {
    call(d, key, |h, s| h.on_connect(s));
    if let Some(mut handle) = d.driver().handle(&OWNER, key.0) {
        handle.queue();
    }
}

/// Bytes for the pipe that this is the source of, or for the handler.
pub(crate) fn received(d: &mut Dispatch<'_>, key: SocketKey, bytes: &[u8]) {
    let (layer, driver) = d.layer(&NET);
    match layer.socket(&driver, key).and_then(|s| s.pipes()).and_then(|p| p.into) {
        Some(pipe) => pipe.data(d, Chunk::Lent(bytes)),
        None => call(d, key, |h, s| h.on_data(s, bytes)),
    }
}
