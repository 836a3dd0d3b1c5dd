//! A whole body, collected.
#![forbid(unsafe_code)]

use bytes::Bytes;

use crate::callbacks::contexts::ExchangeCx;
use crate::callbacks::handler::ExchangeHandler;
use crate::exchange::response::Response;

pub(super) struct Collect<F> {
    pub(super) limit: usize,
    pub(super) body: Vec<u8>,
    /// `None` once it was called, or will not be.
    pub(super) then: Option<F>,
}

impl<F: FnOnce(&mut ExchangeCx<'_>, Bytes) + 'static> ExchangeHandler for Collect<F> {
    fn on_data(&mut self, x: &mut ExchangeCx<'_>, chunk: &[u8]) {
        if self.then.is_none() {
            return;
        }
        if self.body.len() + chunk.len() > self.limit {
            self.body = Vec::new();
            self.then = None;
            let _ = x.respond(Response::new(413).close(), "");
            x.discard();
            return;
        }
        self.body.extend_from_slice(chunk);
    }

    fn on_end(&mut self, x: &mut ExchangeCx<'_>) {
        if let Some(then) = self.then.take() {
            then(x, std::mem::take(&mut self.body).into());
        }
    }
}
