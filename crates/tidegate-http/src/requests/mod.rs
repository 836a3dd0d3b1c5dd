//! What is done with requests. Read `serve` (a request begins, and gets a connection), `sending`
//! (it is written), `connection` (what comes back), `ending`, `deadline`; `call` is the way to the
//! user's callbacks. `ends` is for pipes. `face` is what users call, with `fetch`.
#![forbid(unsafe_code)]

pub(crate) mod call;
pub(crate) mod connection;
pub(crate) mod deadline;
pub(crate) mod ending;
pub(crate) mod ends;
pub(crate) mod face;
pub(crate) mod fetch;
pub(crate) mod sending;
pub(crate) mod serve;
