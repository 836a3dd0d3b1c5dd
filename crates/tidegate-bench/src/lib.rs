//! What the benches and the report share: peers, load, and contests between them.
//!
//! Linux, because the floor under each figure is epoll; empty elsewhere.
#![cfg(epoll)]
#![deny(unsafe_code)]

pub mod contest;
pub mod counted;
pub mod datagrams;
pub mod http;
pub mod load;
pub mod micro;
pub mod peer;
pub mod program;
pub mod redis;
pub mod server;
pub mod stats;
pub mod suite;
pub mod tls;

#[allow(unsafe_code)] // system calls, and calls into C
pub mod sys;

/// Before anything is measured, in the thread that will be the client: its core, all the
/// descriptors that there are, a network of its own. Says what could not be had. How many
/// descriptors there are.
pub fn prepare() -> u64 {
    if let Err(e) = sys::network::isolate() {
        println!("the loopback is shared with others: no separate network ({e})");
    }
    sys::cores::pin(sys::cores::Core::Client);
    sys::cores::raise_descriptors()
}
