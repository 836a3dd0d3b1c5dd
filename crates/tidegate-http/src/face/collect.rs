//! A whole body, collected.
#![forbid(unsafe_code)]

use bytes::Bytes;
use tidegate_loop::Cx;

use crate::callbacks::contexts::ExchangeCx;
use crate::callbacks::handler::{Broken, ExchangeHandler};

/// Called once.
type Then<F> = Option<F>;

pub(super) struct Collect<F> {
    pub(super) limit: usize,
    pub(super) body: Vec<u8>,
    pub(super) then: Then<F>,
}

impl<F: FnOnce(&mut ExchangeCx<'_>, Bytes) + 'static> ExchangeHandler for Collect<F> {
    fn on_data(&mut self, x: &mut ExchangeCx<'_>, chunk: &[u8]) {
        if self.then.is_none() {
            return;
        }
        if self.body.len() + chunk.len() > self.limit {
            self.body = Vec::new();
            self.then = None;
            let refused = crate::exchange::response::Response::new(413).close();
            let _ = x.respond(refused, "");
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

    fn on_close(&mut self, _: &mut Cx<'_>, _: Result<(), Broken>) {}
}
