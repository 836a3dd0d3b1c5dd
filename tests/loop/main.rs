//! The loop by itself: the order of a turn, timers, ticks, posts, notified handles, panics, and
//! kinds of handles that users make themselves.

mod busy_poll;
mod notify;
mod own_kinds;
mod skipped_phases;
mod stop_with;
mod turns;

#[path = "../support/mod.rs"]
mod support;
