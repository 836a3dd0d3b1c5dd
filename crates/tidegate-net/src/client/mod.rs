//! How a connection is made, or taken over.
//!
//! Read `connect.rs` first, then `name.rs` (a name becomes addresses), `race.rs` (their order),
//! `attempts.rs` (which has its turn) and `attempt.rs` (one of them). `adopt.rs` takes over a
//! connection that is there. Not here: what happens once it is open, which is in `socket/`.
#![forbid(unsafe_code)]

pub(crate) mod adopt;
pub(crate) mod attempt;
pub(crate) mod attempts;
pub(crate) mod connect;
pub(crate) mod name;
pub(crate) mod race;
