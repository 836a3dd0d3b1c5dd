//! TCP servers and clients of tidegate, on the loop of `tidegate-loop` and the
//! machines of `tidegate-stream`.
//!
//! ```text
//! kernel -> poller -> ready pass -> listener.rs (accept loop) -> on_connection
//!                              \--> socket.rs (read loop) -----> on_data
//!                              your write -> socket.rs (try first) -> kernel
//! ```
//!
//! ```
//! use tidegate_loop::{AsCx, Loop};
//! use tidegate_net::{Flow, Net, On};
//!
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |conn| {
//!     conn.accept(On::new()
//!         .data(|s, chunk| if s.write(chunk) == Flow::Full { s.pause() })
//!         .drain(|s| s.resume()));
//! })?;
//! let at = lp.local_addr(server)?;
//! lp.connect(at, On::new()
//!     .connect(|s| { let _ = s.write(b"tide"); })
//!     .data(move |s, chunk| {
//!         assert_eq!(chunk, b"tide");
//!         s.end();
//!         s.close_server(server).unwrap();
//!     }));
//! lp.run()?; // returns when server and connections are closed
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]

mod address;
mod adopt;
mod attempts;
mod bind;
mod block_list;
mod close;
mod connect;
mod ends;
mod error;
mod event;
mod handler;
mod held;
mod incoming;
mod key;
mod layer;
mod listener;
mod lookup;
mod metrics;
mod net;
mod offer;
mod on;
mod options;
mod outgoing;
mod pace;
mod queues;
mod race;
mod socket;
mod socket_cx;
mod sys;
mod timeout;
mod unix;
mod wire;

pub use adopt::AdoptOptions;
pub use block_list::{BlockList, RuleError};
pub use error::{
    AddressError, AddressFault, Attempt, Close, ListenError, NetError, Reason, Reset, Scope, Stage,
};
pub use event::{BatchEnd, Connection, NetEvent, Server, ServerEvent, SocketEvent};
pub use handler::{Handler, Overload, ServerHandler};
pub use incoming::Incoming;
pub use key::{ServerKey, SocketKey};
pub use listener::ServerStats;
pub use lookup::{LookupAnswer, LookupFault};
pub use metrics::{NetMetrics, ServerMetrics, SocketMetrics};
pub use net::Net;
pub use on::{On, OnWith};
pub use options::{AtLimit, ConnectOptions, Family, KeepAlive, ListenOptions, OutOfDescriptors};
pub use queues::AcceptGauge;
pub use socket_cx::{PeerState, SocketCx};
pub use sys::{AcceptQueue, Queues};
pub use tidegate_stream::{Chunk, Flow};
pub use timeout::Timeout;
pub use unix::Endpoint;
pub use wire::{Filter, FilterError, Passed};
