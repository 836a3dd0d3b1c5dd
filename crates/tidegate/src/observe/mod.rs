//! Ready-made observers: what a loop does, as a log, as JSON, as a picture, as a timeline.
//!
//! Each is an [`Observer`] for [`Loop::observe`](crate::Loop::observe); several are one, as a
//! tuple. They get [`Event`], [`NetEvent`](crate::net::NetEvent) and
//! [`StreamEvent`](crate::stream::StreamEvent).
//!
//! | observer | gives | feature |
//! |---|---|---|
//! | [`LogRecords`] | records of the `log` crate, with key-values | |
//! | [`Doctor`] | findings in words: what is wrong, and what mends it | |
//! | [`Timeline`] | a text with client and server side by side | |
//! | `JsonLines` | one JSON object a line | `trace` |
//! | `Perfetto` | a trace file for <https://ui.perfetto.dev> | `trace` |
//! | `otel::Traces` | spans for OpenTelemetry | `otel` |
//! | `otel::TracingSpans` | spans of the crate `tracing` | `tracing` |
//!
//! An observer of your own gets an event as plain data by [`Record`].
//!
//! ```
//! use tidegate::observe::{LogRecords, Timeline};
//! use tidegate::prelude::*;
//! let mut lp = Loop::new()?;
//! let timeline = Timeline::new();
//! lp.observe((LogRecords::new(), timeline.clone()));
//! lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
//! lp.run()?;
//! println!("{timeline}");
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

mod doctor;
mod log;
mod record;
mod timeline;

#[cfg(feature = "http")]
mod requests;

#[cfg(feature = "trace")]
mod file;
#[cfg(feature = "trace")]
mod json;
#[cfg(feature = "trace")]
mod perfetto;

use std::fmt;

use tidegate_loop::Key;

pub use self::log::LogRecords;
#[cfg(feature = "trace")]
pub use doctor::{BadLine, LineDoctor};
pub use doctor::{Doctor, Finding, Sign};
#[cfg(feature = "trace")]
pub use file::Written;
#[cfg(feature = "trace")]
pub use json::JsonLines;
#[cfg(feature = "trace")]
pub use perfetto::Perfetto;
pub use record::{FieldValue, Record};
pub use tidegate_loop::{Event, LayerEvent, Moment, Observer, OneLine, Value};
#[cfg(feature = "otel")]
pub use tidegate_otel as otel;
pub use timeline::{Side, Step, Timeline};

/// What all observers call a handle: a letter, then loop, place and generation, as `c1.3.1`.
/// Unique in a process, for as long as it runs.
///
/// ```
/// use tidegate::observe::Id;
/// use tidegate::prelude::*;
/// let mut lp = Loop::new()?;
/// let key = lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
/// assert!(Id::connection(key).to_string().starts_with('c'));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Id {
    letter: char,
    key: Key,
}

impl Id {
    /// Of a connection: `c`.
    pub fn connection(key: crate::net::SocketKey) -> Id {
        Id { letter: 'c', key: key.into() }
    }

    /// Of a server: `s`.
    pub fn server(key: crate::net::ServerKey) -> Id {
        Id { letter: 's', key: key.into() }
    }

    /// Of a pipe: `p`.
    pub fn pipe(key: crate::stream::PipeKey) -> Id {
        Id { letter: 'p', key: key.into() }
    }

    /// Of a UDP socket: `u`.
    pub fn udp(key: crate::net::UdpKey) -> Id {
        Id { letter: 'u', key: key.into() }
    }

    /// Of a handle of this kind: also of a task, `t`; `h` if it is none of the above.
    pub fn of(kind: &str, key: Key) -> Id {
        let letter = match kind {
            "socket" => 'c',
            "server" => 's',
            "pipe" => 'p',
            "udp" => 'u',
            "task" => 't',
            _ => 'h',
        };
        Id { letter, key }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Id { letter, key } = self;
        write!(f, "{letter}{}.{}.{}", key.loop_id(), key.index(), key.generation())
    }
}
