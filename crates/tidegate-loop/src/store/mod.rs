//! Plain containers: keys, the table of handles, what waits in which order. None of them knows
//! the loop, and none calls anybody. What is done with them is in `core/` and `handles/`.
//!
//! Read `key`, `readiness` and `table` first; `timers` stands on `heap`; the others
//! (`hooks`, `ticks`, `graveyard`) stand alone.
#![forbid(unsafe_code)]

pub(crate) mod graveyard;
pub(crate) mod heap;
pub(crate) mod hooks;
pub(crate) mod key;
pub(crate) mod readiness;
pub(crate) mod table;
pub(crate) mod ticks;
pub(crate) mod timers;
