//! What users write, and what their callbacks get: `handler` (of a server, of an exchange), `on` (an
//! exchange's, as closures), `contexts`. Definitions alone: what a user may do with a context is in
//! `face/`.
#![forbid(unsafe_code)]

pub(crate) mod contexts;
pub(crate) mod handler;
pub(crate) mod on;
