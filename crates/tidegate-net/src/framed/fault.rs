//! [`FrameFault`]: what was wrong with the bytes of a framed connection.
//!
//! It travels as the source of a `NetError` of [`Stage::Decode`](crate::Stage::Decode).
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use crate::error::net_error::NetError;

/// Why bytes were no frame. An error of a decoder of yours comes in its place.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{FrameFault, Framed, Lines, Net, On, Stage};
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |mut conn| {
///     conn.server(conn.server_key()).close().unwrap();
///     let on = On::new().close(|_, close| {
///         let e = close.reason.error().unwrap();
///         assert_eq!(e.stage(), Stage::Decode);
///         assert_eq!(FrameFault::of(e), Some(FrameFault::TooLong { limit: 4 }));
///     });
///     conn.accept(on.framed(Lines::new(4), |s, line| s.write(line)));
/// })?;
/// let at = lp.server(server).local_addr()?;
/// let client = lp.connect(at, On::new());
/// let _ = lp.socket(client).write("high water\n");
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FrameFault {
    /// A frame is longer than this.
    TooLong {
        /// The limit of the decoder.
        limit: usize,
    },
    /// The peer ended its side inside a frame.
    Truncated {
        /// As many bytes of it had come.
        bytes: usize,
    },
    /// A length that includes itself says less than its own size.
    BadLength,
    /// The decoder made a frame of no bytes, which would never end.
    Empty,
}

impl FrameFault {
    /// The fault that an error has as its source.
    pub fn of(error: &NetError) -> Option<FrameFault> {
        let source = std::error::Error::source(error)?.downcast_ref::<io::Error>()?;
        source.get_ref()?.downcast_ref().copied()
    }
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameFault::TooLong { limit } => write!(f, "a frame is longer than {limit} bytes"),
            FrameFault::Truncated { bytes } => {
                write!(f, "the peer ended its side inside a frame, after {bytes} bytes of it")
            }
            FrameFault::BadLength => f.write_str("a frame is shorter than its own length field"),
            FrameFault::Empty => f.write_str("the decoder made a frame of no bytes"),
        }
    }
}

impl std::error::Error for FrameFault {}

impl From<FrameFault> for io::Error {
    fn from(fault: FrameFault) -> io::Error {
        let kind = match fault {
            FrameFault::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, fault)
    }
}
