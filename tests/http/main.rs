//! HTTP/1.1. The codec alone is in `codec/`, and beside the parser of Node in `beside_node`; the
//! types of the `http` crate are in `types`, requests and the agent in `client/`, random programs
//! of requests in `random_requests`, servers over real sockets in `server/`, clients that ask too
//! often in `limited`. A number in the name of a test is that of a behaviour in the list of
//! `tests/README.md`.

mod beside_node;
mod client;
mod codec;
mod limited;
mod random_requests;
mod server;
mod types;

#[path = "../support/mod.rs"]
mod support;
