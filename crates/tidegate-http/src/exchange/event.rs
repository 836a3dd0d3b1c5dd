//! [`HttpEvent`]: the events of a server of HTTP that an observer gets.
//!
//! ```text
//! { Request Response }*  Refused?  Upgraded?
//! ```
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::time::Duration;

use tidegate_loop::{Key, LayerEvent, OneLine, Value};
use tidegate_net::SocketKey;

use crate::exchange::key::ExchangeKey;
use crate::message::refusal::Refusal;

/// An event of a server of HTTP. It arrives as
/// [`Event::Layer`](tidegate_loop::Event::Layer); downcast it.
///
/// ```
/// use tidegate_http::HttpEvent;
/// use tidegate_loop::{Event, Moment, Observer};
/// struct Log;
/// impl Observer for Log {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         if let Event::Layer(e) = event {
///             if let Some(HttpEvent::Response { exchange, status, elapsed, .. }) = e.as_any().downcast_ref() {
///                 println!("{exchange:?}: {status} after {elapsed:?}");
///             }
///         }
///     }
/// }
/// # let _ = Log;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HttpEvent {
    /// The head of a request came.
    Request {
        /// Its key.
        exchange: ExchangeKey,
        /// Its method.
        method: String,
        /// Its target.
        target: String,
        /// Its fields, in their order.
        headers: Vec<(String, Vec<u8>)>,
    },
    /// A response was written to its end.
    Response {
        /// Its key.
        exchange: ExchangeKey,
        /// Its status.
        status: u16,
        /// Bytes of its body.
        bytes: u64,
        /// Since the head of the request.
        elapsed: Duration,
        /// Whether the connection waits for another request.
        keep_alive: bool,
    },
    /// An exchange broke before the end of its response.
    Broken {
        /// Its key.
        exchange: ExchangeKey,
    },
    /// Bytes were not a valid request, or a request took too long.
    Refused {
        /// The connection.
        socket: SocketKey,
        /// The answer, and why.
        why: Refusal,
    },
    /// The connection belongs to another protocol now.
    Upgraded {
        /// The exchange that upgraded it.
        exchange: ExchangeKey,
        /// The status of its response.
        status: u16,
    },
}

impl HttpEvent {
    fn socket(&self) -> Key {
        match self {
            HttpEvent::Request { exchange, .. }
            | HttpEvent::Response { exchange, .. }
            | HttpEvent::Broken { exchange }
            | HttpEvent::Upgraded { exchange, .. } => exchange.socket.into(),
            HttpEvent::Refused { socket, .. } => (*socket).into(),
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            HttpEvent::Request { exchange, .. }
            | HttpEvent::Response { exchange, .. }
            | HttpEvent::Broken { exchange }
            | HttpEvent::Upgraded { exchange, .. } => Some(exchange.number()),
            HttpEvent::Refused { .. } => None,
        }
    }
}

impl fmt::Display for HttpEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpEvent::Request { exchange, method, target, .. } => {
                write!(f, "request {}: {} {}", exchange.number(), OneLine(method), OneLine(target))
            }
            HttpEvent::Response { exchange, status, bytes, elapsed, .. } => {
                write!(f, "response {}: {status}, {bytes} bytes, {elapsed:.1?}", exchange.number())
            }
            HttpEvent::Broken { exchange } => write!(f, "request {} broke", exchange.number()),
            HttpEvent::Refused { why, .. } => write!(f, "refused: {why}"),
            HttpEvent::Upgraded { exchange, status } => {
                write!(f, "request {} upgraded: {status}", exchange.number())
            }
        }
    }
}

impl LayerEvent for HttpEvent {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn layer(&self) -> &'static str {
        "http"
    }

    fn name(&self) -> &'static str {
        match self {
            HttpEvent::Request { .. } => "request",
            HttpEvent::Response { .. } => "response",
            HttpEvent::Broken { .. } => "broken",
            HttpEvent::Refused { .. } => "refused",
            HttpEvent::Upgraded { .. } => "upgraded",
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        visit("connection", Value::Handle { kind: "socket", key: self.socket() });
        if let Some(number) = self.number() {
            visit("request", number.into());
        }
        match self {
            HttpEvent::Request { method, target, .. } => {
                visit("method", method.as_str().into());
                visit("target", target.as_str().into());
            }
            HttpEvent::Response { status, bytes, elapsed, keep_alive, .. } => {
                visit("status", u32::from(*status).into());
                visit("bytes", (*bytes).into());
                visit("elapsed", (*elapsed).into());
                visit("keep_alive", (*keep_alive).into());
            }
            HttpEvent::Broken { .. } => {}
            HttpEvent::Refused { why, .. } => {
                visit("status", u32::from(why.status()).into());
                visit("what", why.what().into());
            }
            HttpEvent::Upgraded { status, .. } => visit("status", u32::from(*status).into()),
        }
    }
}
