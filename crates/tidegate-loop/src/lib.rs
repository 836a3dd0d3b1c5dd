//! The event loop of tidegate: readiness turned into callbacks.
//!
//! Single-threaded, modelled on libuv, over `mio` (epoll, kqueue, IOCP). It
//! knows timers, ticks, posts from other threads and *handles*; what a handle
//! is (a socket, a listener) is up to the crates above, through [`Kind`].
//!
//! Read in this order: `turn.rs` (one iteration), `ready.rs` (bits and queue),
//! `driver.rs` (what the layers above may do), `table.rs` (keys).
//!
//! ```
//! use std::time::Duration;
//! use tidegate_loop::{AsCx, Loop};
//!
//! let mut lp = Loop::new()?;
//! lp.as_cx().timer(Duration::from_millis(1), |cx, _| {
//!     println!("turn {}, phase {}", cx.turn(), cx.phase());
//! });
//! lp.run()?; // returns when nothing is left that could call back
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]

mod closing;
mod cx;
mod dispatch;
mod driver;
mod event_loop;
mod hooks;
mod keep_alive;
mod limits;
mod loop_id;
mod mailbox;
mod metrics;
mod observe;
mod one_line;
mod phase;
#[cfg(feature = "work")]
mod pool;
mod reactor;
mod ready;
mod remote;
#[cfg(any(test, feature = "test-util"))]
mod script;
mod shared;
#[cfg(feature = "signal")]
mod signal;
mod spans;
mod sync;
#[allow(unsafe_code)] // what the systems offer beyond mio
mod sys;
mod table;
mod thinned;
mod tick;
mod timers;
mod turn;
mod watch;
#[cfg(feature = "work")]
mod work;

pub use cx::{AsCx, Cx};
pub use dispatch::Dispatch;
pub use driver::{Driver, Trigger};
pub use event_loop::{HandleInfo, Loop, Step};
pub use hooks::HookKey;
pub use keep_alive::KeepAlive;
pub use limits::{Builder, LimitError, Limits};
pub use metrics::{Histogram, Metrics};
pub use observe::{Event, LayerEvent, Moment, Observer};
pub use one_line::OneLine;
pub use phase::Phase;
pub use ready::Bits;
pub use remote::{PostError, Remote};
#[cfg(any(test, feature = "test-util"))]
pub use script::Script;
pub use shared::{LeaseError, Shared};
#[cfg(feature = "signal")]
pub use signal::SignalKey;
pub use sys::public::*;
pub use table::{Key, KeyError, Kind, TableFull};
pub use tick::TickFull;
pub use timers::TimerKey;
pub use watch::{Readiness, WatchKey};
#[cfg(feature = "work")]
pub use work::{WorkError, WorkKey, WorkRefused, WorkStats};

pub use mio::Interest;
pub use mio::event::Source;
