//! What the servers are made of, one file for each peer; libuv's is `sys/libuv_server.c`.
#![forbid(unsafe_code)]

pub mod floor;
pub mod tidegate;
pub mod tokio;
