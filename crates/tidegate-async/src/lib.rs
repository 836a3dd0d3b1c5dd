//! Futures on the loop of tidegate: async and await beside callbacks, on the same loop, in the same
//! thread.
//!
//! A *task* is a handle of the loop, as a socket is: polling it is its dispatch, `Cx::close` cancels
//! it, `why_alive` shows it. A waker has only the task's key, so no future leaves its thread.
//! Sockets hold keys as well; their state is in the loop.
//!
//! ```
//! use tidegate_async::{AcceptAsync, BlockOn, connect};
//! use tidegate_loop::{AsCx, Loop};
//! use tidegate_net::Net;
//!
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |conn| {
//!     let _ = conn.accept_spawn(|socket| async move {
//!         let mut buffer = [0; 4096];
//!         while let Ok(n @ 1..) = socket.read(&mut buffer).await {
//!             if socket.write_all(&buffer[..n]).await.is_err() {
//!                 break;
//!             }
//!         }
//!     });
//! })?;
//! let at = lp.server(server).local_addr()?;
//! lp.block_on(async {
//!     let socket = connect(at).await?;
//!     socket.write_all(b"tide").await?;
//!     let mut answer = [0; 4];
//!     socket.read(&mut answer).await?;
//!     assert_eq!(&answer, b"tide");
//!     Ok::<(), std::io::Error>(())
//! })??;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Floors, from the ground: plain data (`error/`, `event`, `key`, `limits`, `metrics`, `options`),
//! `sys/` (the loop that runs on this thread), `wake/` (what other threads touch, and who waits),
//! `state/` (who owns what), `tasks/` (what is done with tasks; read `tasks/run.rs` first),
//! `time/`, `bridge/` and `net/` (futures that wait for something), `adapters/` (the traits of
//! others), `face/` (what users call). Imports go down.
#![deny(unsafe_code)]

#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
mod adapters;
mod bridge;
mod error;
mod event;
mod face;
mod key;
mod limits;
mod metrics;
mod net;
mod options;
mod state;
#[allow(unsafe_code)] // the loop, lent across the poll of a future
mod sys;
mod tasks;
mod time;
mod wake;

#[cfg(feature = "hyper")]
pub use adapters::hyper_spawn::LoopExecutor;
#[cfg(feature = "hyper")]
pub use adapters::hyper_timer::LoopTimer;
#[cfg(feature = "work")]
pub use bridge::blocking::{Blocking, blocking};
pub use bridge::lookup::{Lookup, lookup};
pub use bridge::oneshot::{Dropped, Receiver, Sender, oneshot};
#[cfg(feature = "signal")]
pub use bridge::signals::{Signals, signals};
pub use error::block_on::BlockOnError;
#[cfg(feature = "work")]
pub use error::blocking::BlockingError;
pub use error::connect::ConnectError;
pub use error::join::JoinError;
pub use error::not_on_loop::NotOnLoop;
pub use event::{TaskEnd, TaskEvent, TaskInfo};
pub use face::context::{Async, BlockOn};
pub use face::here::{spawn, with};
pub use key::TaskKey;
pub use limits::AsyncLimits;
pub use metrics::TaskMetrics;
pub use net::begin::{AcceptAsync, IntoAsync};
pub use net::connect::{Connect, connect, connect_in};
pub use net::halves::{ReadHalf, WriteHalf};
pub use net::listener::AsyncListener;
pub use net::socket::AsyncSocket;
pub use net::udp::AsyncUdp;
pub use options::TaskOptions;
pub use tasks::join::Task;
pub use time::sleep::{Sleep, sleep, sleep_until};
pub use time::timeout::{Elapsed, Timeout, timeout};
pub use time::yield_now::{YieldNow, yield_now};
