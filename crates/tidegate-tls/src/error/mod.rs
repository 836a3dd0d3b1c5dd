//! What can go wrong: `alert` (what peers tell each other), `tls_error` (of a connection),
//! `config_error` (of a configuration). Plain data, on the ground floor.
#![forbid(unsafe_code)]

pub(crate) mod alert;
pub(crate) mod config_error;
pub(crate) mod tls_error;
