//! Types for [`Cx::watch`](crate::Cx::watch), which watches sources of your own: what can be
//! watched, for what, and its readiness. [`Source`] and [`Interest`] are mio's.
//!
//! ```
//! use mio::net::UnixStream;
//! use tidegate_loop::Loop;
//! use tidegate_loop::event::Interest;
//! let mut lp = Loop::new()?;
//! let (source, _peer) = UnixStream::pair()?;
//! let key = lp.watch(source, Interest::READABLE, |_, _, _, ready| println!("{:?}", ready.bits()))?;
//! lp.close(key)?;
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

pub use mio::Interest;
pub use mio::event::Source;

pub use crate::handles::watch::ReadyGuard;
pub use crate::store::readiness::Readiness;
pub use crate::sys::event::*;
