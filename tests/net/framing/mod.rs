//! Frames: what the decoders cut, wherever the bytes are cut; what stops frames and what goes on;
//! what ends a connection; all of it at random against a model.

mod bad_frames;
mod codec;
mod decoders;
mod flow;
mod model;
mod parser;

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::net::*;

use crate::support::*;

/// Hands a chunk on in pieces of these lengths, one in each pass; gives the others back.
pub(crate) struct Cut<H> {
    inner: H,
    next: Box<dyn FnMut() -> usize>,
}

impl<H> Cut<H> {
    pub(crate) fn new(inner: H, next: impl FnMut() -> usize + 'static) -> Cut<H> {
        Cut { inner, next: Box::new(next) }
    }
}

impl<H: Handler> Handler for Cut<H> {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let (piece, later) = chunk.split_at((self.next)().clamp(1, chunk.len()));
        s.unread(later);
        self.inner.on_data(s, piece);
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.inner.on_drain(s);
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.inner.on_end(s);
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        self.inner.on_close(s, close);
    }
}

/// The frames of these bytes, which come in pieces of these lengths, and how that ended.
pub(crate) fn frames<C>(
    decoder: C,
    bytes: &[u8],
    next: impl FnMut() -> usize + 'static,
) -> (Vec<Vec<u8>>, Reason)
where
    C: for<'a> Decode<Frame<'a> = &'a [u8]>,
{
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, bytes);
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let (seen, end) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(None)));
    let (f, e) = (seen.clone(), end.clone());
    let on = On::new().close(move |_, close| *e.borrow_mut() = Some(close.reason));
    let framed = on.framed(decoder, move |_, frame| {
        f.borrow_mut().push(frame.to_vec());
        Flow::Ready
    });
    lp.adopt(ours, Cut::new(framed, next)).unwrap();
    lp.run().unwrap();
    (seen.take(), end.take().unwrap())
}

/// The fault that ended a connection.
pub(crate) fn fault(reason: &Reason) -> Option<FrameFault> {
    let error = reason.error()?;
    assert_eq!(error.stage(), Stage::Decode);
    FrameFault::of(error)
}
