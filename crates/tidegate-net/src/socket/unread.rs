//! Bytes that the handler gives back, and how they come to it again: in the connection's next
//! pass, before anything is read, or after `resume`.
//!
//! What is given back, and whether it is due, is kept by `state/rare.rs`.
#![forbid(unsafe_code)]

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Handle};
use tidegate_stream::ReadState;

use crate::key::SocketKey;
use crate::socket::call::received;
use crate::state::layer::NET;
use crate::state::socket::{Life, Socket};

impl Socket {
    /// The next bytes that are delivered are these. Not after the end.
    pub(crate) fn unread(&mut self, h: &mut Handle<'_>, bytes: &[u8]) {
        let reads = matches!(self.duplex.read, ReadState::Flowing | ReadState::Paused);
        if bytes.is_empty() || !reads || !self.duplex.is_open() || self.life != Life::Open {
            return;
        }
        let was_reading = self.duplex.read.wants_read();
        self.duplex.read.pause();
        let unread = &mut self.rare_or_new().unread;
        unread.put(bytes, was_reading);
        if unread.is_due() {
            h.queue();
        }
    }

    /// What is due, of a connection that reads again from now on.
    pub(crate) fn take_unread(&mut self) -> Option<Vec<u8>> {
        if !self.duplex.is_open() {
            return None;
        }
        let bytes = self.rare()?.unread.take()?;
        self.duplex.read.resume();
        Some(bytes)
    }
}

/// Delivers them again, and goes on reading behind them.
pub(crate) fn redeliver(d: &mut Dispatch<'_>, key: SocketKey, bytes: &[u8]) {
    received(d, key, bytes);
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return };
    let reads = s.duplex.is_open() && s.duplex.read.wants_read();
    if reads && h.readiness().has(Readiness::READABLE) {
        h.queue();
    }
}
