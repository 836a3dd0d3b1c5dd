//! Who owns what: `conn` (one connection), `layer` (what a loop keeps). What is done to them is in
//! `server/`.
#![forbid(unsafe_code)]

pub(crate) mod conn;
pub(crate) mod layer;
