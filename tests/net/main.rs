//! Servers and connections over real sockets: accepting, connecting, options, deadlines,
//! back-pressure, and every way to end.

mod accept;
mod accept_gauge;
mod adopt;
mod after_failure;
mod back_pressure;
mod bad_addresses;
mod before_accept;
mod connect;
mod deadlines;
mod destroy_with;
mod endings;
mod error_texts;
mod failed_writes;
mod fast_path;
mod faulty_networks;
mod filter;
mod half_open;
mod helpers;
mod kernel_queues;
mod late_deadlines;
mod limits;
mod lookup;
mod max_connections;
mod options;
mod order;
mod race;
mod random_actions;
mod read_size;
mod reset;
mod server;
mod server_states;
mod unix_sockets;

#[cfg(target_os = "linux")]
#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/mod.rs"]
mod support;
