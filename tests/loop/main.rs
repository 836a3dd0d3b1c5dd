//! The loop by itself: the order of a turn, timers, ticks, posts, panics, and kinds of handles
//! that users make themselves.

mod own_kinds;
mod skipped_phases;
mod turns;

#[path = "../support/mod.rs"]
mod support;
