//! Streams of the user's own and pipes: bytes, order, pace, panics, and what happens when a
//! callback does something unexpected.

mod connections_in_pipes;
mod every_byte;
mod fairness;
mod high_water_mark;
mod joined;
mod panicking_ends;
mod pipe_errors;
mod programs;
mod random_actions;
mod run_to_the_end;
mod throttled;
mod ticks_that_panic;

#[path = "../support/pipe_ends.rs"]
mod pipe_ends;
#[path = "../support/mod.rs"]
mod support;
