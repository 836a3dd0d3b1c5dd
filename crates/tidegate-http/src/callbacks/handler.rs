//! [`HttpHandler`] and [`ExchangeHandler`]: the callbacks of a server and of one exchange.
//!
//! ```text
//! server    { on_request }*  beside  { on_refused }*   on_close
//! exchange  { on_data* on_trailers? on_end }?  beside  { on_drain | on_timeout }*   on_close
//! ```
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

use tidegate_loop::Cx;
use tidegate_net::{Reason, ServerCx, SocketCx};

use crate::callbacks::contexts::{Exchange, ExchangeCx};
use crate::codec::{FieldList, RequestHead};
use crate::message::refusal::Refusal;

/// The callbacks of a server.
///
/// ```
/// use tidegate_http::{Exchange, Head, HttpHandler};
/// struct Count(u64);
/// impl HttpHandler for Count {
///     fn on_request(&mut self, _: &Head<'_>, x: Exchange<'_>) {
///         self.0 += 1;
///         x.reply(200, format!("you are visitor {}\n", self.0));
///     }
/// }
/// ```
pub trait HttpHandler: 'static {
    /// The head of a request came. Its body, if it has one, comes when it is asked for. The next
    /// request of the connection comes when this exchange is over.
    fn on_request(&mut self, head: &RequestHead<'_>, x: Exchange<'_>);

    /// Bytes were not a valid request, or a request took too long. It was answered with this
    /// status, and its connection ends. If a response had begun, the connection was reset instead.
    /// [`HttpMetrics`](crate::HttpMetrics) counts it; [`on_close`](ExchangeHandler::on_close) of
    /// the exchange, if there was one, gets the same reason.
    fn on_refused(&mut self, s: &mut SocketCx<'_>, why: &Refusal) {
        let _ = (s, why);
    }

    /// The server was closed and its last connection is over.
    fn on_close(&mut self, server: &mut ServerCx<'_>) {
        let _ = server;
    }
}

/// Closures of [`http_listen`](crate::Http::http_listen).
pub(crate) struct OnRequest<F>(pub(crate) F);

impl<F: FnMut(&RequestHead<'_>, Exchange<'_>) + 'static> HttpHandler for OnRequest<F> {
    fn on_request(&mut self, head: &RequestHead<'_>, x: Exchange<'_>) {
        (self.0)(head, x);
    }
}

/// Why an exchange broke before its response was written to its end.
///
/// ```
/// fn is_client(why: &tidegate_http::Broken) -> bool {
///     matches!(why, tidegate_http::Broken::Refused(_))
/// }
/// # let _ = is_client;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Broken {
    /// The rest of the request was refused, or came too late.
    Refused(Refusal),
    /// The connection ended.
    Connection(Reason),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Refused(why) => why.fmt(f),
            Broken::Connection(reason) => reason.fmt(f),
        }
    }
}

impl Error for Broken {}

/// The callbacks of one exchange: of a request's body, and of a response that is written in parts.
/// Every method has a default. [`OnExchange`](crate::OnExchange) is one made of closures.
///
/// ```
/// use tidegate_http::{ExchangeCx, ExchangeHandler};
/// use tidegate_net::Flow;
/// /// Sends the body back; the client is read no faster than it reads.
/// struct Echo;
/// impl ExchangeHandler for Echo {
///     fn on_data(&mut self, x: &mut ExchangeCx<'_>, chunk: &[u8]) {
///         if x.write(chunk) == Flow::Full {
///             x.pause();
///         }
///     }
///     fn on_drain(&mut self, x: &mut ExchangeCx<'_>) {
///         x.resume();
///     }
///     fn on_end(&mut self, x: &mut ExchangeCx<'_>) {
///         let _ = x.end();
///     }
/// }
/// ```
pub trait ExchangeHandler: 'static {
    /// A part of the request's body. It is borrowed.
    fn on_data(&mut self, x: &mut ExchangeCx<'_>, chunk: &[u8]) {
        let _ = (x, chunk);
    }

    /// The fields behind a body in chunks.
    fn on_trailers(&mut self, x: &mut ExchangeCx<'_>, trailers: FieldList<'_>) {
        let _ = (x, trailers);
    }

    /// The request is complete. Also called if it has no body.
    fn on_end(&mut self, x: &mut ExchangeCx<'_>) {
        let _ = x;
    }

    /// The queue is empty after a write returned [`Flow::Full`](tidegate_stream::Flow::Full).
    fn on_drain(&mut self, x: &mut ExchangeCx<'_>) {
        let _ = x;
    }

    /// The time of [`set_deadline`](crate::ExchangeCx::set_deadline) has passed. By default the
    /// answer is 503; if one has begun, the connection is reset.
    fn on_timeout(&mut self, x: &mut ExchangeCx<'_>) {
        x.time_out();
    }

    /// The exchange is over, and its key finds nothing any more. Called exactly once, unless
    /// another handler replaced this one. `Ok`: the response was written to its end, also that of
    /// an upgrade.
    fn on_close(&mut self, cx: &mut Cx<'_>, result: Result<(), Broken>) {
        let _ = (cx, result);
    }
}
