//! The loop that polls a task, for the code inside of that poll: `current.rs`, the only unsafe code
//! of this crate.
//!
//! It knows nothing else of this crate.

pub(crate) mod current;
