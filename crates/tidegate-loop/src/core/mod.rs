//! Who owns what, and the rules by which callbacks run. `state`, `kind` and `cx` name each other:
//! a kind's functions take a context, which borrows the loop, which owns the table of kinds.
//!
//! Read these three first, then `driver` (handles are made and found), `handle` and `source` (what
//! the owner of one may do with it), `runtime` (what it has of the loop beside) and `dispatch` (how
//! callbacks run); `due` says what there is to do. Which handles there are is in `handles/`; when
//! they are called, in `turn.rs`.
#![forbid(unsafe_code)]

pub(crate) mod cx;
pub(crate) mod dispatch;
pub(crate) mod driver;
pub(crate) mod due;
pub(crate) mod handle;
pub(crate) mod kind;
pub(crate) mod runtime;
pub(crate) mod source;
pub(crate) mod state;
