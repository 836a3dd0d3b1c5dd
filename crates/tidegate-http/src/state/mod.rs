//! Who owns what: `conn` (one connection and its exchange), `clocks` (its deadlines), `layer` (what
//! a loop keeps), `deadlines` (which connection is to be looked at when), `date` (the text of the
//! second that runs), `prepared` (the head of the answer before), `held` (clients that asked too
//! often). What is done to them is in `server/`.
#![forbid(unsafe_code)]

pub(crate) mod clocks;
pub(crate) mod conn;
pub(crate) mod date;
pub(crate) mod deadlines;
pub(crate) mod held;
pub(crate) mod layer;
pub(crate) mod prepared;
