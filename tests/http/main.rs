//! HTTP/1.1. The codec alone is in `codec/`, requests and the agent in `client/`,
//! and random programs of requests in `random_requests`.

mod client;
mod codec;
mod random_requests;

#[path = "../support/mod.rs"]
mod support;
