//! What users call: `http` (servers, exchanges by their keys), `exchange` (a request that waits for
//! its answer), `exchange_cx` (one exchange), `collect` (a whole body), `head`, `request_id`;
//! `types` (those of the `http` crate).
#![forbid(unsafe_code)]

mod collect;
mod exchange;
mod exchange_cx;
mod head;
pub(crate) mod http;
pub(crate) mod request_id;
mod types;
