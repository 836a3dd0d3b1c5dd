//! HTTP/1.1. The codec alone is in `codec/`, requests and the agent in `client/`, random programs of
//! requests in `random_requests`, servers over real sockets in `server/`. A number in the name of a
//! test is that of a behaviour in the list of `tests/README.md`.

mod client;
mod codec;
mod random_requests;
mod server;

#[path = "../support/mod.rs"]
mod support;
