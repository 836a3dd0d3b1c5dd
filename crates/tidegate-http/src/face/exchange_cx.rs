//! What a user may do with an [`ExchangeCx`]: answer, write, read the body, hand over.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_net::{Handler, Net, SocketCx};
use tidegate_stream::{Chunk, Flow};

use crate::callbacks::contexts::ExchangeCx;
use crate::callbacks::handler::ExchangeHandler;
use crate::codec::{EncodeError, Field};
use crate::exchange::error::HttpError;
use crate::exchange::event::HttpEvent;
use crate::exchange::response::Response;
use crate::server::ends::{self, BodyEnd, ReplyEnd};
use crate::server::{clock, over, reply};
use crate::state::clocks::Clock;
use crate::state::conn::{Body, Phase, Reading, Reply};
use crate::state::layer::{HTTP, Layer};

impl ExchangeCx<'_> {
    /// `Ok` while the exchange is not over.
    pub fn state(&mut self) -> Result<(), HttpError> {
        self.cx.layer(&HTTP).0.exchange(self.key).map(|_| ()).ok_or(HttpError::Closed)
    }

    /// Its connection. What is written there directly is not part of a response.
    pub fn socket(&mut self) -> SocketCx<'_> {
        self.cx.socket(self.key.socket)
    }

    pub(super) fn claim(&mut self) {
        if let Some(conn) = self.cx.layer(&HTTP).0.exchange(self.key) {
            if conn.reply == Reply::Unclaimed {
                conn.reply = Reply::Claimed;
            }
        }
    }

    /// How long the body is, if nothing of it was read, and that is known.
    pub(super) fn body_left(&mut self) -> Option<u64> {
        let conn = self.cx.layer(&HTTP).0.exchange(self.key)?;
        conn.request.length.filter(|_| matches!(conn.body, Body::Unasked | Body::Expected))
    }

    /// Answers with this status and this whole body.
    pub fn reply<'c>(&mut self, status: u16, body: impl Into<Chunk<'c>>) -> Result<(), HttpError> {
        self.respond(status, body)
    }

    /// Answers with this head and this whole body. To a HEAD the body is not sent, but its length
    /// is; with an empty body, [`Response::length`] says it.
    pub fn respond<'c, 'r>(
        &mut self,
        response: impl Into<Response<'r>>,
        body: impl Into<Chunk<'c>>,
    ) -> Result<(), HttpError> {
        reply::whole(&mut self.cx, self.key, &response.into(), body.into())
    }

    /// Begins a response that is written in parts.
    pub fn start<'r>(&mut self, response: impl Into<Response<'r>>) -> Result<(), HttpError> {
        reply::start_by_user(&mut self.cx, self.key, &response.into())
    }

    /// Writes a part of the response's body, as one chunk if the length was not announced.
    /// [`Flow::Full`]: stop until [`on_drain`](ExchangeHandler::on_drain). [`Flow::Closed`]: the
    /// exchange is over, has not begun, or more was written than announced; nothing was accepted.
    pub fn write<'c>(&mut self, part: impl Into<Chunk<'c>>) -> Flow {
        reply::data(&mut self.cx, self.key, part.into()).unwrap_or(Flow::Closed)
    }

    /// Ends the response. Fewer bytes than announced: the connection is reset, since nothing else
    /// tells the client, and this is an error.
    pub fn end(&mut self) -> Result<(), HttpError> {
        self.end_with_trailers([])
    }

    /// Ends a response in chunks, with fields behind it.
    pub fn end_with_trailers<'f>(
        &mut self,
        trailers: impl IntoIterator<Item = Field<'f>>,
    ) -> Result<(), HttpError> {
        let done = reply::end(&mut self.cx, self.key, trailers);
        if done == Err(HttpError::Encode(EncodeError::TooShort)) {
            self.reset();
        }
        done
    }

    /// Writes the last part, and ends the response.
    pub fn end_with<'c>(&mut self, part: impl Into<Chunk<'c>>) -> Result<(), HttpError> {
        let _ = reply::data(&mut self.cx, self.key, part.into())?;
        self.end()
    }

    /// Writes an informational response: see [`Exchange::inform`](crate::Exchange::inform).
    pub fn inform<'f>(
        &mut self,
        status: u16,
        fields: impl IntoIterator<Item = Field<'f>>,
    ) -> Result<(), HttpError> {
        reply::inform(&mut self.cx, self.key, status, fields)
    }

    /// Calls this handler with the request's body, and for the response. One that was there before
    /// is dropped after the current callback. A client that waits for the status 100 gets it.
    pub fn handle(&mut self, handler: impl ExchangeHandler) {
        ends::handle(&mut self.cx, self.key, Box::new(handler));
    }

    /// Limits the time until the exchange is over: `after` from now, and never earlier, comes
    /// [`on_timeout`](ExchangeHandler::on_timeout), once. Set again, it moves; zero turns it off.
    /// Without a handler the default counts: 503 if no answer has begun, else a reset.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_http::{Exchange, ExchangeKey};
    /// fn ask_elsewhere<F: FnOnce(ExchangeKey)>(x: Exchange<'_>, ask: F) {
    ///     let mut x = x.later();
    ///     x.set_deadline(Duration::from_secs(2));
    ///     ask(x.key()); // and who answers uses the key
    /// }
    /// # let _ = ask_elsewhere::<fn(ExchangeKey)>;
    /// ```
    pub fn set_deadline(&mut self, after: Duration) {
        let (at, socket) = (self.key.at(), self.key.socket);
        if self.state().is_ok() {
            clock::set(&mut self.cx, at, socket, Clock::Answer, after);
        }
    }

    /// What [`on_timeout`](ExchangeHandler::on_timeout) does by default.
    pub fn time_out(&mut self) {
        ends::time_out(&mut self.cx, self.key);
    }

    /// Reads no more of the body for now.
    pub fn pause(&mut self) {
        ends::pause(&mut self.cx, self.key);
    }

    /// Reads the body on.
    pub fn resume(&mut self) {
        ends::unpause(&mut self.cx, self.key);
    }

    /// Drops the rest of the body: the exchange is over when the response is written.
    pub fn discard(&mut self) {
        ends::discard(&mut self.cx, self.key);
    }

    /// The request's body, as the source of a pipe.
    ///
    /// ```
    /// use tidegate_http::{Exchange, HttpError};
    /// use tidegate_stream::Streams;
    /// /// Sends the body back, at the pace of the client.
    /// fn echo(x: Exchange<'_>) -> Result<(), HttpError> {
    ///     let mut x = x.start(200)?;
    ///     let (body, reply) = (x.body_end(), x.reply_end());
    ///     let _ = x.pipe(body, reply, |_, _| {});
    ///     Ok(())
    /// }
    /// # let _ = echo;
    /// ```
    pub fn body_end(&self) -> BodyEnd {
        BodyEnd(self.key)
    }

    /// The response's body, as the sink of a pipe.
    pub fn reply_end(&self) -> ReplyEnd {
        ReplyEnd(self.key)
    }

    /// Gives the connection to a handler: see [`Exchange::upgrade`](crate::Exchange::upgrade). An
    /// error if the body was not read to its end, or the answer has begun. The exchange is over
    /// with it: its own handler gets its [`on_close`](ExchangeHandler::on_close).
    pub fn upgrade<'r>(
        &mut self,
        response: impl Into<Response<'r>>,
        handler: impl Handler,
    ) -> Result<(), HttpError> {
        let (key, response) = (self.key, response.into());
        let (layer, mut d) = self.cx.layer(&HTTP);
        let Layer { conns, output, metrics, .. } = layer;
        let conn = conns.get_mut(key.at()).filter(|c| c.is_in(key)).ok_or(HttpError::Closed)?;
        if !conn.body.is_read() {
            return Err(HttpError::Body);
        }
        if conn.reply.has_begun() {
            return Err(EncodeError::Order.into());
        }
        if response.status != 101 && !conn.request.is_connect {
            return Err(EncodeError::Status.into());
        }
        let out = output.of(key.at());
        conn.encoder.switch(out, response.status, response.fields())?;
        let paused = conn.reading == Reading::Paused;
        over::end(conn);
        conn.phase = Phase::Idle;
        metrics.upgraded += 1;
        metrics.in_flight -= 1;
        d.emit(|| HttpEvent::Upgraded { exchange: key, status: response.status });
        reply::flush(&mut self.cx, key.at(), key.socket);
        let mut s = self.cx.socket(key.socket);
        s.set_handler(handler);
        if paused {
            s.resume();
        }
        Ok(())
    }

    /// Closes the connection with a RST: the client sees that the response is not whole.
    pub fn reset(&mut self) {
        reply::reset(&mut self.cx, self.key);
    }
}
