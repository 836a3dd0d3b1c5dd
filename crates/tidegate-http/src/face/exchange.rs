//! What a user may do with an [`Exchange`]: answer, or say who will.
#![forbid(unsafe_code)]

use bytes::Bytes;
use tidegate_net::{Handler, SocketCx};
use tidegate_stream::Chunk;

use crate::callbacks::contexts::{Exchange, ExchangeCx};
use crate::callbacks::handler::ExchangeHandler;
use crate::codec::Field;
use crate::exchange::error::HttpError;
use crate::exchange::key::ExchangeKey;
use crate::exchange::response::Response;
use crate::face::collect::Collect;

impl<'a> Exchange<'a> {
    /// Its key, to be kept.
    pub fn key(&self) -> ExchangeKey {
        self.0.key
    }

    /// Its connection.
    pub fn socket(&mut self) -> SocketCx<'_> {
        self.0.socket()
    }

    /// Answers with this status and this whole body. A response that cannot be written like that (a
    /// status below 200, a body with 204) is answered with 500, and counted and logged as
    /// unhandled; [`respond`](Exchange::respond) returns the error.
    ///
    /// ```
    /// use tidegate_http::Exchange;
    /// fn hello(x: Exchange<'_>) { x.reply(200, "high tide\n") }
    /// # let _ = hello;
    /// ```
    pub fn reply<'c>(mut self, status: u16, body: impl Into<Chunk<'c>>) {
        let e = match self.0.respond(status, body) {
            // The client is gone: that is no error of this program.
            Ok(()) | Err(HttpError::Closed) => return,
            Err(e) => e,
        };
        self.0.cx.driver().unhandled("tidegate::http", e, format_args!("a response: {e}"));
        let _ = self.0.respond(500, "");
    }

    /// Answers with this head and this whole body.
    ///
    /// ```
    /// use tidegate_http::{Exchange, HttpError, Response};
    /// fn hello(x: Exchange<'_>) -> Result<(), HttpError> {
    ///     x.respond(Response::new(200).headers(&[("content-type", "text/plain")]), "high tide\n")
    /// }
    /// # let _ = hello;
    /// ```
    pub fn respond<'c, 'r>(
        mut self,
        response: impl Into<Response<'r>>,
        body: impl Into<Chunk<'c>>,
    ) -> Result<(), HttpError> {
        self.0.respond(response, body)
    }

    /// Begins a response that is written in parts. It is over at [`ExchangeCx::end`].
    ///
    /// ```
    /// use tidegate_http::{Exchange, HttpError};
    /// fn hello(x: Exchange<'_>) -> Result<(), HttpError> {
    ///     let mut x = x.start(200)?;
    ///     let _ = x.write("high ");
    ///     let _ = x.write("tide\n");
    ///     x.end()
    /// }
    /// # let _ = hello;
    /// ```
    pub fn start<'r>(
        mut self,
        response: impl Into<Response<'r>>,
    ) -> Result<ExchangeCx<'a>, HttpError> {
        self.0.start(response)?;
        Ok(self.0)
    }

    /// Calls this handler with the request's body, and for the response. It answers.
    pub fn handle(mut self, handler: impl ExchangeHandler) -> ExchangeCx<'a> {
        self.0.handle(handler);
        self.0
    }

    /// Collects the request's body, and calls `f` with it, which answers. A body of more than
    /// `limit` bytes is answered with 413 instead.
    ///
    /// ```
    /// use tidegate_http::Exchange;
    /// fn echo(x: Exchange<'_>) {
    ///     x.collect(1 << 20, |x, body| { let _ = x.reply(200, body); })
    /// }
    /// # let _ = echo;
    /// ```
    pub fn collect(mut self, limit: usize, f: impl FnOnce(&mut ExchangeCx<'_>, Bytes) + 'static) {
        if self.0.body_left().is_some_and(|n| n > limit as u64) {
            return self.reply(413, "");
        }
        self.0.handle(Collect { limit, body: Vec::new(), then: Some(f) });
    }

    /// It will be answered later: keep its key, and see [`Http::exchange`](crate::Http::exchange).
    pub fn later(mut self) -> ExchangeCx<'a> {
        self.0.claim();
        self.0
    }

    /// Writes an informational response, such as 103 with `Link` fields. The answer is still to
    /// come. Nothing is written to a client of HTTP/1.0.
    pub fn inform<'f>(
        &mut self,
        status: u16,
        fields: impl IntoIterator<Item = Field<'f>>,
    ) -> Result<(), HttpError> {
        self.0.inform(status, fields)
    }

    /// Answers with this response (101; or 2xx to a CONNECT), and gives the connection to a handler,
    /// from its next bytes on.
    ///
    /// ```
    /// use tidegate_http::{Exchange, HttpError, Response};
    /// use tidegate_net::On;
    /// fn echo(x: Exchange<'_>) -> Result<(), HttpError> {
    ///     let response = Response::new(101).headers(&[("upgrade", "echo")]);
    ///     x.upgrade(response, On::new().data(|s, chunk| { let _ = s.write(chunk); }))
    /// }
    /// # let _ = echo;
    /// ```
    pub fn upgrade<'r>(
        mut self,
        response: impl Into<Response<'r>>,
        handler: impl Handler,
    ) -> Result<(), HttpError> {
        self.0.upgrade(response, handler)
    }

    /// Closes the connection with a RST, without an answer.
    pub fn reset(mut self) {
        self.0.reset();
    }
}
