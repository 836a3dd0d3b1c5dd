//! Streams of the user's own and pipes: bytes, order, pace, panics, and what happens when a
//! callback does something unexpected.

mod every_byte;
mod panicking_ends;
mod pipes_at_bad_moments;
mod programs;
mod random_actions;
mod run_to_the_end;

#[path = "../support/mod.rs"]
mod support;
