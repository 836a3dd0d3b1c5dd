//! The stream layer of tidegate: where back-pressure is decided.
//!
//! The machines do no I/O: [`WriteState`], [`ReadState`] with its [`ReadQueue`], and
//! [`Duplex`] take calls and answer with states and effects. They know no loop, socket, clock
//! or `std::io`. A driver (for sockets: `tidegate-net`) moves the bytes and runs the
//! callbacks.
//!
//! [`Streams`] binds them to a loop for your own streams: over a [`Source`] or a [`Sink`],
//! with pipes between them and connections, and a [`Transform`] on the way: [`Throttle`] is one.
//!
//! ```
//! use tidegate_stream::{Effect, Flow, WriteState};
//! let mut w = WriteState::new(8, 1024); // high-water mark 8 bytes
//! w.push(b"hello, tide");               // 11 bytes the kernel did not take
//! assert_eq!(w.flow(), Flow::Full);     // too much is queued ...
//! assert_eq!(w.stop(), Flow::Full);     // ... so tell the producer to stop
//! w.advance(11);                        // ... it took them
//! assert_eq!(w.take_effect(), Some(Effect::Drain)); // go on
//! ```
#![deny(unsafe_code)]

mod ends;
mod error;
mod event;
mod limits;
mod machine;
mod rate;
mod run;
mod streams;
mod throttle;
mod user;

pub use ends::{PipeKey, ReadEnd, Transform, WriteEnd};
pub use error::{BoxError, PipeError, PipeStage, StreamError};
pub use event::{PipeEvent, StreamEvent};
pub use limits::StreamLimits;
pub use machine::chunk::Chunk;
pub use machine::duplex::Duplex;
pub use machine::flow::{Effect, Flow, Refused};
pub use machine::queued::Beside;
pub use machine::read::ReadState;
pub use machine::read_queue::ReadQueue;
pub use machine::write::{Discarded, WriteState};
pub use rate::{Bucket, Rate};
pub use streams::Streams;
pub use throttle::Throttle;
pub use user::close::StreamClose;
pub use user::context::{ReadableCx, ReadableKey, WritableCx, WritableKey};
pub use user::options::{ReadableOptions, WritableOptions};
pub use user::sink::{NotWriting, Progress, Sink, WriteHandler};
pub use user::source::{ReadHandler, Source};
