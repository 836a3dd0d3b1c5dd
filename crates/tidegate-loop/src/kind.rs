//! For crates that make their own kinds of handles, as `tidegate-net` makes sockets. Programs need
//! none of this.
//!
//! A layer has a [`LayerId`], under which each loop keeps the layer's state, and [`Kind`]s. The
//! loop calls the functions of a `Kind` with a [`Dispatch`]; only a `Dispatch` may run users'
//! callbacks. With the [`Driver`] a layer makes handles and finds its own again. What it can do
//! with one is on the [`Handle`], which no other layer gets. `Driver` and `Handle` deref to the
//! [`Runtime`]: clock, limits, observer.
//!
//! ```
//! use tidegate_loop::kind::{Kind, LayerId};
//! use tidegate_loop::{AsCx, Loop};
//! static RINGS: LayerId<u32> = LayerId::new(|| 0);
//! static BELL: Kind = Kind::new("bell", RINGS.owner()).ready(|d, key, data| {
//!     let (rings, mut driver) = d.layer(&RINGS);
//!     *rings += 1;
//!     println!("bell {data} rings");
//!     if let Some(bell) = driver.handle(RINGS.owner(), key) {
//!         bell.free();
//!     }
//! });
//! let mut lp = Loop::new()?;
//! lp.cx().driver().insert(&BELL, 7)?.queue();
//! lp.run()?;
//! assert_eq!(*lp.cx().layer(&RINGS).0, 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Other threads reach a handle by [`Remote::notify`](crate::Remote::notify): the loop then calls
//! [`Kind::notified`]. A handle that counts what threads send it:
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use tidegate_loop::kind::{Kind, LayerId};
//! use tidegate_loop::{AsCx, Loop};
//! static BOATS: AtomicU32 = AtomicU32::new(0); // what threads write
//! static GATES: LayerId<u32> = LayerId::new(|| 0);
//! static GATE: Kind = Kind::new("gate", GATES.owner()).notified(|d, key, _| {
//!     let (passed, mut driver) = d.layer(&GATES);
//!     *passed += BOATS.swap(0, Ordering::AcqRel);
//!     if *passed == 3 {
//!         driver.handle(GATES.owner(), key).unwrap().free();
//!     }
//! });
//! let mut lp = Loop::new()?;
//! let gate = lp.cx().driver().insert(&GATE, 0)?.key();
//! for _ in 0..3 {
//!     let remote = lp.remote();
//!     std::thread::spawn(move || {
//!         BOATS.fetch_add(1, Ordering::AcqRel);
//!         remote.notify(gate);
//!     });
//! }
//! lp.run()?; // until three boats have passed
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

pub use crate::builder::LayerLimits;
pub use crate::core::driver::Driver;
pub use crate::core::handle::Handle;
pub use crate::core::kind::{Call, Dispatch, Kind};
pub use crate::core::runtime::Runtime;
pub use crate::core::source::Trigger;
pub use crate::layer_limits;
pub use crate::sys::{LayerId, LevelSource, Owner};
