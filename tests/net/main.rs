//! Servers and connections over real sockets: accepting, connecting, options, deadlines,
//! back-pressure, and every way to end.

mod accept;
mod accept_gauge;
mod adopt;
mod after_failure;
mod before_accept;
mod connect;
mod connections;
mod deadlines;
mod destroy_with;
mod endings;
mod error_texts;
mod fast_path;
mod faulty_networks;
mod filter;
mod kernel_queues;
mod limits;
mod net_at_bad_moments;
mod options;
mod random_actions;
mod read_size;
mod reset;
mod server;
mod unix_sockets;

#[cfg(target_os = "linux")]
#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/mod.rs"]
mod support;
