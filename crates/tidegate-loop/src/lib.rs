//! The event loop of tidegate: readiness turned into callbacks.
//!
//! Single-threaded, modelled on libuv, over `mio` (epoll, kqueue, IOCP). It
//! knows timers, ticks, posts from other threads and *handles*; what a handle
//! is (a socket, a listener) is up to the crates above, through
//! [`kind`].
//!
//! Read in this order: `turn.rs` (one iteration), `store/` (bits, table, queues), `core/` (who
//! owns what, and what the layers above may do), `handles/` (timers, hooks, posts, ...).
//!
//! ```
//! use std::time::Duration;
//! use tidegate_loop::{AsCx, Loop};
//!
//! let mut lp = Loop::new()?;
//! lp.timer(Duration::from_millis(1), |cx, _| {
//!     println!("turn {}, phase {}", cx.turn(), cx.phase());
//! });
//! lp.run()?; // returns when nothing is left that could call back
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]

mod as_cx;
mod builder;
mod core;
pub mod event;
mod handles;
pub mod kind;
mod limits;
mod loop_id;
mod metrics;
mod observe;
mod one_line;
mod phase;
mod run;
#[cfg(any(test, feature = "test-util"))]
mod script;
mod spans;
mod store;
#[allow(unsafe_code)] // what the systems offer beyond mio
mod sys;
mod thinned;
mod threads;
mod turn;

pub use crate::core::cx::Cx;
pub use as_cx::AsCx;
pub use builder::Builder;
pub use handles::any::HandleInfo;
pub use handles::keep_alive::KeepAlive;
pub use handles::remote::{PostError, Remote};
pub use handles::share::{LeaseError, Shared};
#[cfg(feature = "signal")]
pub use handles::signal::SignalKey;
pub use handles::tick::TickFull;
pub use handles::watch::WatchKey;
#[cfg(feature = "work")]
pub use handles::work::{WorkKey, WorkRefused};
pub use limits::{LimitError, Limits};
pub use metrics::{Histogram, Metrics};
pub use observe::{Event, LayerEvent, Moment, Observer, Value};
pub use one_line::OneLine;
pub use phase::Phase;
pub use run::{Loop, PhaseReport};
#[cfg(any(test, feature = "test-util"))]
pub use script::Script;
pub use store::hooks::HookKey;
pub use store::key::{Key, KeyError, TableFull};
pub use store::timers::TimerKey;
#[cfg(feature = "signal")]
pub use sys::signals;
#[cfg(feature = "work")]
pub use threads::pool::{WorkError, WorkStats};
