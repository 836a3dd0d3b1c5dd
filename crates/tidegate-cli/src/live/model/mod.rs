//! What the page shows, as plain data: no loop, no socket, no clock.
//!
//! Read `turn` first (one turn), then `fold` (events become turns) and `ring` (the last turns, bounded);
//! `entry` and `tape` (what the studied loop writes down), `follow` (another thread makes turns of it);
//! `message` (what the page gets, as JSON) and `lines` (a trace file becomes messages).
#![forbid(unsafe_code)]

pub(super) mod entry;
pub(super) mod fold;
pub(super) mod follow;
pub(super) mod lines;
pub(super) mod message;
pub(super) mod ring;
pub(super) mod tape;
pub(super) mod turn;
