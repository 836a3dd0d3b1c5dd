//! [`RequestError`]: how a request failed.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::mem::discriminant;
use std::time::Duration;

use tidegate_net::Reason;
use tidegate_stream::StreamError;

use crate::client::origin::Origin;
use crate::codec::{EncodeError, Refusal};

/// What a request was doing.
///
/// ```
/// assert_eq!(tidegate_http::RequestStage::Head.to_string(), "waiting for the answer");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RequestStage {
    /// It had not begun.
    Start,
    /// It waited for a connection, or one was being made.
    Connect,
    /// It was being sent.
    Send,
    /// All of it was sent, and the head of the answer was not there.
    Head,
    /// The body of the answer was coming.
    Body,
}

impl fmt::Display for RequestStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestStage::Start => "beginning",
            RequestStage::Connect => "getting a connection",
            RequestStage::Send => "sending the request",
            RequestStage::Head => "waiting for the answer",
            RequestStage::Body => "receiving the answer",
        })
    }
}

/// The deadline that passed: a field of [`Timeouts`](crate::Timeouts).
///
/// ```
/// assert_eq!(tidegate_http::Deadline::Head.to_string(), "head");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Deadline {
    /// [`connect`](crate::Timeouts::connect)
    Connect,
    /// [`head`](crate::Timeouts::head)
    Head,
    /// [`idle`](crate::Timeouts::idle)
    Idle,
    /// [`total`](crate::Timeouts::total)
    Total,
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deadline::Connect => "connect",
            Deadline::Head => "head",
            Deadline::Idle => "idle",
            Deadline::Total => "total",
        })
    }
}

/// Why a request failed.
///
/// ```
/// use tidegate_http::RequestCause;
/// assert_eq!(RequestCause::PoolFull.to_string(), "too many requests wait for a connection");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RequestCause {
    /// The URL is none.
    Url(&'static str),
    /// The request cannot be written: a bad field, or a body that does not fit its length.
    Request(EncodeError),
    /// The origin is `https`, and the agent has no [`secure`](crate::Agent::secure).
    NoTls,
    /// More requests wait than [`max_pending`](crate::Agent::max_pending) allows.
    PoolFull,
    /// The loop has no room for another connection.
    TableFull,
    /// The agent was closed before the request had a connection.
    AgentClosed,
    /// A deadline passed: this one, after this time.
    TimedOut(Deadline, Duration),
    /// The connection ended before the answer did.
    Incomplete,
    /// The connection failed, or could not be made.
    Connection(Reason),
    /// What came is no answer, or goes beyond a limit.
    Refused(Refusal),
    /// The server switched to another protocol, and
    /// [`RequestCx::upgrade`](crate::RequestCx::upgrade) was not called, or nothing was asked.
    NotUpgraded,
    /// The answer's body is larger than this limit of [`fetch`](crate::HttpClient::fetch).
    TooLarge(usize),
    /// So many bytes of the body waited for a connection.
    TooMuchWaits(usize),
    /// A pipe from or to the request failed.
    Piped(StreamError),
    /// It was closed.
    Destroyed,
    /// One of its callbacks panicked.
    Panicked,
}

impl fmt::Display for RequestCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestCause::Url(what) => f.write_str(what),
            RequestCause::Request(e) => e.fmt(f),
            RequestCause::NoTls => f.write_str("the agent makes no secure connections"),
            RequestCause::PoolFull => f.write_str("too many requests wait for a connection"),
            RequestCause::TableFull => f.write_str("the loop has no room for another connection"),
            RequestCause::AgentClosed => f.write_str("the agent was closed"),
            RequestCause::TimedOut(which, after) => write!(f, "{which} timeout after {after:?}"),
            RequestCause::Incomplete => f.write_str("the connection ended before the answer did"),
            RequestCause::Connection(reason) => reason.fmt(f),
            RequestCause::Refused(why) => write!(f, "a bad answer: {}", why.what()),
            RequestCause::NotUpgraded => f.write_str("another protocol, and no handler for it"),
            RequestCause::TooLarge(limit) => write!(f, "a body of more than {limit} bytes"),
            RequestCause::TooMuchWaits(n) => write!(f, "{n} bytes waited for a connection"),
            RequestCause::Piped(e) => write!(f, "its pipe broke: the other end {e}"),
            RequestCause::Destroyed => f.write_str("destroyed"),
            RequestCause::Panicked => f.write_str("a callback panicked"),
        }
    }
}

/// How a request failed: while it did what, and why. Each request gets one, or its answer.
///
/// ```
/// use tidegate_http::{ClientRequest, RequestCause, HttpClient, RequestStage};
/// let mut lp = tidegate_loop::Loop::new()?;
/// lp.fetch(ClientRequest::get("http://127.0.0.1:1/"), 1000, |_, answer| {
///     let e = answer.unwrap_err();
///     assert_eq!(e.stage(), RequestStage::Connect);
///     assert!(matches!(e.cause(), RequestCause::Connection(_)), "{e}");
/// })?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestError {
    pub(crate) stage: RequestStage,
    pub(crate) cause: RequestCause,
    pub(crate) origin: Option<Origin>,
    pub(crate) elapsed: Duration,
    pub(crate) piped: bool,
}

impl RequestError {
    /// What the request was doing.
    pub fn stage(&self) -> RequestStage {
        self.stage
    }

    /// Why it failed.
    pub fn cause(&self) -> &RequestCause {
        &self.cause
    }

    /// Whose answer was wanted; `None` if the URL was none.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// How long it took until then.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Whether a pipe that the request is an end of gets this error, too.
    pub fn is_piped(&self) -> bool {
        self.piped
    }

    /// What errors of one kind have in common, for the log.
    pub(crate) fn alike(&self) -> impl std::hash::Hash + use<> {
        (self.stage, discriminant(&self.cause))
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "request to {origin} failed {}: ", self.stage)?,
            None => f.write_str("request failed: ")?,
        }
        self.cause.fmt(f)
    }
}

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            RequestCause::Request(e) => Some(e),
            RequestCause::Refused(why) => Some(why),
            RequestCause::Connection(reason) => reason.error().map(|e| e as _),
            RequestCause::Piped(e) => Some(e),
            _ => None,
        }
    }
}

impl From<RequestError> for std::io::Error {
    fn from(e: RequestError) -> std::io::Error {
        let kind = match &e.cause {
            RequestCause::TimedOut(..) => std::io::ErrorKind::TimedOut,
            RequestCause::Incomplete => std::io::ErrorKind::UnexpectedEof,
            RequestCause::Url(_) | RequestCause::Request(_) => std::io::ErrorKind::InvalidInput,
            RequestCause::Refused(_) => std::io::ErrorKind::InvalidData,
            RequestCause::Connection(r) => {
                r.error().map_or(std::io::ErrorKind::Other, |e| e.kind())
            }
            _ => std::io::ErrorKind::Other,
        };
        std::io::Error::new(kind, e)
    }
}
