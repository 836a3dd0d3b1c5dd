//! How TLS is set up: what users call. `identity` and `roots` are what one side shows and what it
//! trusts, `versions` and `tickets` small choices; `names` finds a certificate by the name that a
//! client asks for. `server` and `client` put it together, and make a filter for each connection.
//!
//! Not here: what a filter does (`connection/`).
#![forbid(unsafe_code)]

pub(crate) mod client;
pub(crate) mod identity;
pub(crate) mod names;
pub(crate) mod roots;
pub(crate) mod server;
pub(crate) mod server_builder;
pub(crate) mod tickets;
pub(crate) mod versions;
