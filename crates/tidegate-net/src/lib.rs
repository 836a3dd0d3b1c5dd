//! TCP servers and clients, and UDP sockets of tidegate, on the loop of `tidegate-loop` and the
//! machines of `tidegate-stream`.
//!
//! ```text
//! kernel -> poller -> ready pass -> server/accept.rs (accept loop) ------> on_connection
//!                              \--> socket/pass.rs -> socket/read.rs ----> on_data
//!                                             \----> socket/write.rs ---> kernel
//!                              your write -> socket/write.rs (try first) -> kernel
//! ```
//!
//! Floors, from the ground: plain data (`key`, `error/`, `options/`, `event`, `metrics`, `sys/`),
//! what users write (`callbacks/`), `proxy_protocol/`, a connection's filters (`filter/`), who owns
//! what (`state/`), what is done to it (`socket/`, `client/`, `server/`), what users call
//! (`face/`), and frames (`framed/`), which stand on that. Imports go down.
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
//! let at = lp.server(server).local_addr()?;
//! lp.connect(at, On::new()
//!     .connect(|s| { let _ = s.write(b"tide"); })
//!     .data(move |s, chunk| {
//!         assert_eq!(chunk, b"tide");
//!         s.end();
//!         s.server(server).close().unwrap();
//!     }));
//! lp.run()?; // returns when server and connections are closed
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]

mod block_list;
mod callbacks;
mod client;
mod datagram;
mod endpoint;
mod error;
mod event;
mod face;
mod filter;
mod framed;
mod gauge;
mod key;
mod limit;
mod lookup;
mod metrics;
mod options;
mod peer_state;
mod pool;
mod proxy_protocol;
mod server;
mod server_event;
mod shutdown_report;
mod socket;
mod source;
mod state;
mod sys;
mod tunnel;
mod udp;
mod udp_event;

pub use block_list::{BlockList, RuleError};
pub use callbacks::contexts::{Incoming, ServerCx, SocketCx, UdpCx};
#[doc(hidden)]
pub use callbacks::filter::AsAny;
pub use callbacks::filter::{Filter, FilterError, FilterFactory, Held, Passed};
pub use callbacks::handler::Handler;
pub use callbacks::protocol::{
    Protocol, ProtocolCall, ProtocolClose, ProtocolData, ProtocolHangup, ProtocolTimer,
    ProtocolWritten,
};
pub use callbacks::server_handler::ServerHandler;
pub use callbacks::udp_handler::UdpHandler;
pub use datagram::{Ecn, Group, Meta, SendError, SendFlow, SendOptions, UdpClose, UdpReason};
pub use endpoint::Endpoint;
pub use error::close::{Close, Reason, Reset, Scope};
pub use error::fault::{LookupFault, Timeout};
pub use error::filter_fault::FilterFault;
pub use error::listen::{AddressError, AddressFault, ListenError};
pub use error::net_error::{Attempt, NetError};
pub use error::stage::Stage;
pub use event::{ConnectionInfo, NetEvent, SocketEvent};
pub use face::net::Net;
pub use face::on::shared::OnShared;
pub use face::on::{On, OnWith};
#[cfg(feature = "codec")]
pub use framed::codec::Codec;
pub use framed::decode::Decode;
pub use framed::delimited::Delimited;
pub use framed::fault::FrameFault;
pub use framed::handler::Framed;
pub use framed::length_prefixed::LengthPrefixed;
pub use framed::lines::Lines;
pub use framed::parser::{ParseError, Parser};
pub use gauge::{AcceptGauge, UdpGauge};
pub use key::{ServerKey, SocketKey, UdpKey};
pub use limit::rate_limiter::RateLimiter;
pub use lookup::Asker;
pub use metrics::{
    NetMetrics, ServerMetrics, ServerStats, SocketMetrics, UdpMetrics, UdpStats, Waiting,
};
pub use options::adopt::AdoptOptions;
pub use options::back_off::BackOff;
pub use options::connect::{ConnectOptions, Family, LookupAnswer};
pub use options::limits::{NetLimits, UdpLimits};
pub use options::listen::{AtLimit, ListenOptions, OutOfDescriptors};
pub use options::stream::TcpKeepAlive;
pub use options::udp::{UdpOptions, WhenFull};
pub use peer_state::PeerState;
pub use pool::event::{PoolEvent, PoolLeft};
pub use pool::lease::{Lease, PoolError, PoolKey, PoolMetrics, PoolWait};
pub use pool::options::PoolOptions;
pub use proxy_protocol::accept::ProxyProtocol;
pub use proxy_protocol::fault::ProxyFault;
pub use proxy_protocol::header::{ProxyHeader, ProxyVersion};
pub use proxy_protocol::trusted::{TrustedError, TrustedProxies};
pub use server_event::{BatchEnd, Overload, PeerLimit, ServerEvent, ServerInfo};
pub use shutdown_report::ShutdownReport;
pub use socket::direct::lent::{LentSocket, Pulls, pull_kind};
pub use source::{Source, source_for};
pub use sys::{AcceptQueue, Queues, UdpQueues};
pub use tidegate_stream::{BoxError, Bucket, Chunk, Flow, Rate};
pub use udp::on::OnDatagram;

pub use udp_event::{ReceiveEnd, UdpEvent, UdpInfo};

/// For the agents of `tidegate-http`, which decide by the same machine.
#[doc(hidden)]
pub mod pool_machine {
    pub use crate::pool::acts::{Act, Bounds, ConnId, Counts, Why};
    pub use crate::pool::machine::Pool;
}

/// For `fuzz/` alone: any program of calls on a stack of filters.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use filter::program::run as run_filters;

/// For `fuzz/` alone: any bytes as the control messages of a datagram.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use sys::udp::read_control;
