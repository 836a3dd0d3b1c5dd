//! For crates that make their own kinds of handles, as `tidegate-net` makes sockets: what the
//! loop calls for a handle ([`Kind`]), and what its owner may do with it. Programs need none of
//! this.
//!
//! [`Cx::driver`](crate::Cx::driver) lends the [`Driver`] to methods that users call;
//! [`Cx::parts`](crate::Cx::parts) lends the layer's own state beside it. The functions of a
//! [`Kind`] get a [`Dispatch`], which alone may run users' callbacks.
//!
//! ```
//! use tidegate_loop::kind::Kind;
//! use tidegate_loop::{AsCx, Loop};
//! static BELL: Kind = Kind {
//!     name: "bell",
//!     ready: |d, key, data| {
//!         println!("bell {data} rings");
//!         d.driver().free(&BELL, key);
//!     },
//!     pending: |_, _, _| {},
//!     close: |cx, key, _| { cx.driver().free(&BELL, key); Ok(()) },
//!     closed: |_, _, _| {},
//!     describe: |_, _, data| format!("bell {data}"),
//! };
//! let mut lp = Loop::new()?;
//! let mut cx = lp.cx();
//! let key = cx.driver().insert(&BELL, 7)?;
//! cx.driver().queue(key);
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

pub use crate::core::driver::Driver;
pub use crate::core::kind::{Dispatch, Kind};
pub use crate::core::source::Trigger;
pub use crate::sys::LevelSource;
