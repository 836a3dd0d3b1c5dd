//! Servers: accepting and rejecting, options, limits, pausing, closing and shutting down.

mod accept;
mod accept_gauge;
mod before_accept;
mod max_connections;
mod server;
mod shutdown_report;
mod states;
