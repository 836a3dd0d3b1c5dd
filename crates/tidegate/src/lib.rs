//! A single-threaded, readiness-driven event loop, modelled on libuv, with the stream and `net`
//! behaviour of Node on top. A reader that is too slow stops the writer: this is called
//! back-pressure, and tidegate is built around it.
//!
//! ```text
//!  kernel:  SYN -> accept queue        receive buffer         send buffer -> peer
//!                      |                     |                     ^
//!  poll                v                     v                     |
//!  tidegate-loop   readiness bits -> ready queue -> one bounded pass per turn
//!                      |                     |                     |
//!  tidegate-net    accept loop           read loop         write, else queue
//!                      |                     |                     ^
//!  tidegate-stream     |                pause, resume       queue, high-water mark
//!                      v                     v                     |
//!  your code       on_connection          on_data           write -> Flow
//! ```
//!
//! An echo server:
//!
//! ```no_run
//! use tidegate::prelude::*;
//!
//! fn main() -> Result<(), MainError> {
//!     let mut lp = Loop::new()?;
//!     let server = lp.listen("127.0.0.1:3000", |conn| {
//!         conn.accept(
//!             On::new()
//!                 .data(|s, chunk| if s.write(chunk) == Flow::Full { s.pause() })
//!                 .drain(|s| s.resume()),
//!         );
//!     })?;
//!     println!("listening on {}", lp.server(server).local_addr()?);
//!     Ok(lp.run()?)
//! }
//! ```
//!
//! # Where to look
//!
//! | you want | look at |
//! |---|---|
//! | a loop: run it, stop it, its limits | [`Loop`], [`Builder`], [`Limits`] |
//! | timers, ticks, hooks, signals, jobs for threads | [`Cx`]; on a loop and in each callback: [`AsCx`] |
//! | servers and clients | [`net::Net`], [`net::ListenOptions`], [`net::ConnectOptions`] |
//! | datagrams | [`net::Net::udp`] |
//! | the callbacks of a connection | [`net::Handler`], or closures: [`net::On`] |
//! | to write, pause, end, close a connection | [`net::SocketCx`] |
//! | lines, or frames of your own | [`net::Framed`], [`net::Decode`], [`net::Parser`] |
//! | pipes, and streams of your own | [`stream::Streams`] |
//! | a `main` whose errors print as text | [`MainError`] |
//! | a value that many callbacks share | [`AsCx::share`], [`AsCx::with`], [`net::On::shared`] |
//! | to reach the loop from another thread | [`Remote`] |
//! | counters, events, traces | [`metrics`], [`observe`] |
//! | to understand what happens, chapter by chapter | the [manual] |
//! | your own kind of handle, in a layer of your own | [`kind`] |
//!
//! The repository has a tutorial (`docs/tutorial`: a small Redis in seven steps) and examples in the
//! order of learning (`examples/README.md`).
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `lookup` | yes | names in [`connect`](net::Net::connect) |
//! | `signal` | yes | [`Cx::signal`], [`ServerCx::shutdown_on`](net::ServerCx::shutdown_on) |
//! | `work` | yes | [`Cx::work`]: a pool of threads |
//! | `async` | no | `tidegate::task`: futures on the loop |
//! | `hyper` | no | `async`; hyper's `rt` for sockets and timers |
//! | `http` | no | `tidegate::http`: HTTP/1.1 |
//! | `tokio` | no | `async`; tokio's `AsyncRead` and `AsyncWrite` for sockets |
//! | `tls` | no | `tidegate::tls`: TLS filters |
//! | `trace` | no | `observe::JsonLines`, `observe::Perfetto` |
//! | `prometheus` | no | `tidegate::prometheus`: all counters as text |
//! | `otel`, `otlp`, `tracing` | no | `tidegate::observe::otel`: spans for OpenTelemetry, for `tracing` |
//! | `test-util` | no | `tidegate::test`: a clock that the test moves |
#![deny(unsafe_code)]

/// Its blocks of code compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;

mod main_error;

#[cfg(doc)]
#[doc = include_str!("links.md")]
#[doc = include_str!("../../../docs/manual/README.md")]
pub mod manual;

pub mod observe;
#[cfg(feature = "prometheus")]
pub mod prometheus;

pub use main_error::MainError;
#[cfg(feature = "async")]
pub use tidegate_async as task;
#[cfg(feature = "http")]
pub use tidegate_http as http;
pub use tidegate_loop::{
    AsCx, Builder, Cx, HandleInfo, HookKey, KeepAlive, Key, KeyError, LeaseError, LimitError,
    Limits, Loop, Phase, PhaseReport, PostError, Remote, Shared, TableFull, TickFull, TimerKey,
    WatchKey,
};
#[cfg(feature = "signal")]
pub use tidegate_loop::{SignalKey, signals};
#[cfg(feature = "work")]
pub use tidegate_loop::{WorkError, WorkKey, WorkRefused};
pub use tidegate_loop::{event, kind};
pub use tidegate_net as net;
pub use tidegate_stream as stream;
#[cfg(feature = "tls")]
pub use tidegate_tls as tls;

/// The counters of a loop. Those of its servers and connections are in [`net`].
///
/// ```
/// use tidegate::Loop;
/// use tidegate::metrics::Metrics;
/// let metrics: Metrics = Loop::new()?.metrics();
/// assert_eq!(metrics.turns, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub mod metrics {
    #[cfg(feature = "work")]
    pub use tidegate_loop::WorkStats;
    pub use tidegate_loop::{Histogram, Metrics};
}

/// For tests: a clock that the test moves, and a poller that reports scripted events. Feature
/// `test-util`.
///
/// ```
/// use tidegate::Loop;
/// use tidegate::test::Script;
/// let (mut lp, script): (Loop, Script) = Loop::scripted()?;
/// # let _ = (lp.run(), script);
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(feature = "test-util")]
pub mod test {
    pub use tidegate_loop::Script;
}

/// What most programs need: `use tidegate::prelude::*`.
///
/// ```
/// use tidegate::prelude::*;
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// lp.server(server).close()?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub mod prelude {
    pub use crate::main_error::MainError;
    pub use std::time::Duration;
    pub use tidegate_loop::{AsCx, Cx, Loop};
    pub use tidegate_net::{
        Close, ConnectOptions, Flow, Handler, Incoming, ListenOptions, Net, NetLimits, On,
        OnDatagram, Reason, SendFlow, ServerCx, ServerHandler, ServerKey, SocketCx, SocketKey,
        UdpCx, UdpHandler, UdpKey, UdpOptions,
    };
    pub use tidegate_stream::Streams;
}
