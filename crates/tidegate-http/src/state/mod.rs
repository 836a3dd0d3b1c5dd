//! Who owns what: `conn` (one connection), `layer` (what a loop keeps), `date` (the text of
//! the second that runs). What is done to them is in `server/`.
#![forbid(unsafe_code)]

pub(crate) mod conn;
pub(crate) mod date;
pub(crate) mod layer;
