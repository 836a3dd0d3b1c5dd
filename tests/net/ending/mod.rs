//! How connections end: every ending and its callbacks, half-open connections, resets,
//! `destroy_with`, peers that end while nothing is read, and deadlines.

mod deadlines;
mod destroy_with;
mod endings;
mod gone;
mod half_open;
mod hangup;
mod late_deadlines;
mod order;
mod reset;
