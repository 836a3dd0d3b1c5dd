//! The stream machines of tidegate: where back-pressure is decided.
//!
//! Sans-I/O: a machine is fed calls and answers with states and effects; it
//! names no loop, socket, clock or `std::io`. The driver (for sockets:
//! `tidegate-net`) moves the bytes and runs the callbacks.
//!
//! ```
//! use tidegate_stream::{Effect, Flow, WriteState};
//! let mut w = WriteState::new(8, 1024); // high-water mark 8 bytes
//! w.push(b"hello, tide");               // 11 bytes the kernel did not take
//! assert_eq!(w.flow(), Flow::Full);     // stop producing
//! w.advance(11);                        // ... it took them
//! assert_eq!(w.take_effect(), Some(Effect::Drain)); // go on
//! ```
#![deny(unsafe_code)]

mod duplex;
mod read;
mod write;

pub use duplex::Duplex;
pub use read::ReadState;
pub use write::{Effect, Flow, Refused, WriteState};
