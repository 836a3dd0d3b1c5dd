//! HTTP/1.1. The codec alone is in `codec/`, requests and the agent in `client/`.

mod client;
mod codec;

#[path = "../support/mod.rs"]
mod support;
