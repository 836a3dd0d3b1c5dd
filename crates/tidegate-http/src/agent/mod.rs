//! What a loop keeps of clients: `pool` (which request gets which connection, without any I/O) and
//! `state` (who owns what). What is done with it is in `requests/`.
#![forbid(unsafe_code)]

pub(crate) mod pool;
pub(crate) mod state;
