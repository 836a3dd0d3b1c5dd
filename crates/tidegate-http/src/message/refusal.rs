//! [`Refusal`]: why bytes are not a valid message.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

/// Bytes that are not a valid message, or are beyond a limit. Nothing after them is decoded.
///
/// ```
/// use tidegate_http::codec::{Event, Fields, Limits, RequestDecoder};
/// let mut decoder = RequestDecoder::new(Limits::default());
/// let mut fields = Fields::new();
/// match decoder.next(b"GET / HTTP/1.1\nHost: a\r\n\r\n", &mut fields) {
///     (_, Event::Refused(why)) => assert_eq!((why.status(), why.what()), (400, "a line without CR")),
///     _ => unreachable!(),
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Refusal {
    status: u16,
    what: &'static str,
}

impl Refusal {
    /// The status to answer with, and what is wrong, in a few words.
    pub const fn new(status: u16, what: &'static str) -> Refusal {
        Refusal { status, what }
    }

    /// The status of the answer: 400, 413, 414, 431, 501 or 505. Of a response that was refused,
    /// 502.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong. The text does not contain anything of the peer's.
    pub fn what(&self) -> &'static str {
        self.what
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.status)
    }
}

impl Error for Refusal {}

/// 400.
pub(crate) const fn bad(what: &'static str) -> Refusal {
    Refusal::new(400, what)
}
