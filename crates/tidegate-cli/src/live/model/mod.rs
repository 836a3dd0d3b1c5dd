//! What the page shows, as plain data: no loop, no socket, no clock.
//!
//! Read `turn` first (one turn), then `fold` (events become turns), `ring` (the last turns, bounded),
//! `message` (what the page gets, as JSON) and `lines` (a trace file becomes messages).
#![forbid(unsafe_code)]

pub(super) mod fold;
pub(super) mod lines;
pub(super) mod message;
pub(super) mod ring;
pub(super) mod turn;
