//! Plain data of a server's exchanges: each is a request and its response.
//!
//! Read `options` (of a server), `key` (which exchange), `response` (the head of an answer),
//! `error` (why a call failed), `event` and `metrics` (what observers see and what is counted).
//! What users write is in `callbacks/`; what is done is in `server/`. The data of a client is in
//! `client/`.
#![forbid(unsafe_code)]

pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod key;
pub(crate) mod metrics;
pub(crate) mod options;
pub(crate) mod response;
