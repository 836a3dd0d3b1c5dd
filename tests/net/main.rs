//! Servers and connections over real sockets. Each room is about one side of them; in this folder
//! stands what is about all of them: options, Unix domain sockets, timers of a connection, values
//! that they share, random actions; and tunnels, which are two of them.

mod connecting;
mod ending;
mod failing;
mod filtering;
mod framing;
mod one_connection;
mod options;
mod pooled;
mod protocol;
mod proxied;
mod random_actions;
mod serving;
mod shared;
mod timers;
mod transfer;
mod tunnel;
mod unix_sockets;

#[cfg(target_os = "linux")]
#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/mod.rs"]
mod support;
