//! What users call: [`HttpClient`], on a loop and on every context, and the methods of
//! [`RequestCx`].
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, Cx, KeyError, TableFull};
use tidegate_net::{Chunk, Flow, Handler, Net, SocketKey};

use crate::agent::state::{CLIENT, socket_of, with_request};
use crate::client::callbacks::{RequestCx, ResponseHandler};
use crate::client::error::{RequestCause, RequestError};
use crate::client::event::AgentMetrics;
use crate::client::key::{AgentKey, RequestKey};
use crate::client::options::Agent;
use crate::client::request::ClientRequest;
use crate::requests::connection::HTTP_CLIENT;
use crate::requests::ending::fail;
use crate::requests::ends::set_paused;
use crate::requests::fetch::{Answer, Collect};
use crate::requests::{sending, serve};

/// Requests to servers. Implemented for the loop, for `Cx`, and for the contexts of callbacks.
///
/// ```
/// use tidegate_http::{ClientRequest, HttpClient};
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, On};
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |mut conn| {
///     conn.server(conn.server_key()).close().unwrap();
///     conn.accept(On::new().data(|s, _| {
///         let _ = s.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhigh");
///     }));
/// })?;
/// let url = format!("http://{}/tide", lp.server(server).local_addr()?);
/// lp.fetch(ClientRequest::get(&url), 1 << 20, |_, answer| {
///     assert_eq!(&answer.unwrap().body[..], b"high");
/// })?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait HttpClient: AsCx {
    /// Makes an agent, which keeps connections. It does not keep the loop alive, nor do its free
    /// connections; requests do. [`Cx::close`] closes it.
    fn http_agent(&mut self, options: Agent) -> Result<AgentKey, TableFull> {
        serve::open_agent(&mut self.cx(), options, &HTTP_CLIENT)
    }

    /// Makes a request. It begins in the next pending phase; no callback comes from inside this
    /// call. Every failure, also that of a text that is no URL, comes by
    /// [`on_close`](ResponseHandler::on_close). An error says that the loop's table is full: then
    /// the handler is dropped.
    ///
    /// ```
    /// use tidegate_http::{ClientRequest, HttpClient, OnResponse};
    /// let mut lp = tidegate_loop::Loop::new()?;
    /// let show = OnResponse::new()
    ///     .head(|_, head| println!("{}", head.status))
    ///     .close(|_, result| println!("{}", result.unwrap_err()));
    /// lp.request(ClientRequest::get("tide.example"), show)?; // prints: ... a URL without a scheme
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn request(
        &mut self,
        request: ClientRequest,
        handler: impl ResponseHandler,
    ) -> Result<RequestKey, TableFull> {
        serve::begin(&mut self.cx(), request, Box::new(handler), &HTTP_CLIENT)
    }

    /// Makes a request, and collects the answer: `done` gets all of it, or the error. A body of more
    /// than `limit` bytes is one.
    fn fetch(
        &mut self,
        request: ClientRequest,
        limit: usize,
        done: impl FnOnce(&mut Cx<'_>, Result<Answer, RequestError>) + 'static,
    ) -> Result<RequestKey, TableFull> {
        self.request(request, Collect::new(limit, Box::new(done)))
    }

    /// A request by its key. When it is over, every method does nothing.
    fn http_request(&mut self, key: RequestKey) -> RequestCx<'_> {
        RequestCx { cx: self.cx(), key }
    }

    /// The counters of an agent.
    fn agent_metrics(&mut self, key: AgentKey) -> Result<AgentMetrics, KeyError> {
        let mut cx = self.cx();
        let (layer, d) = cx.layer(&CLIENT);
        d.check(key.0)?;
        let agent = layer.agent(&d, key.0).ok_or(KeyError::Closed)?;
        let counts = agent.pool.counts();
        Ok(AgentMetrics {
            origins: counts.origins,
            open: counts.open,
            connecting: counts.connecting,
            free: counts.free,
            waiting: counts.waiting,
            ..agent.metrics
        })
    }
}

impl<T: AsCx + ?Sized> HttpClient for T {}

impl RequestCx<'_> {
    /// `Ok` while the request is not over; else why the key finds nothing.
    pub fn state(&mut self) -> Result<(), KeyError> {
        self.cx.validate(self.key)?;
        with_request(&mut self.cx, self.key.0, |_, _| ()).ok_or(KeyError::Closed)
    }

    /// Writes a part of the request's body, which must be
    /// [`streamed`](ClientRequest::streamed). After [`Flow::Full`] wait for
    /// [`on_drain`](ResponseHandler::on_drain). Before the request has a connection the answer is
    /// always `Full`; at most 1 MiB is kept until then.
    ///
    /// More bytes than the length that was given end the request with an error.
    ///
    /// ```
    /// use tidegate_http::{ClientRequest, HttpClient, OnResponse};
    /// use tidegate_net::Flow;
    /// fn count(cx: &mut tidegate_loop::Cx<'_>, url: &str) {
    ///     let mut next = 0;
    ///     let on = OnResponse::new().drain(move |r| {
    ///         while next < 1_000_000 {
    ///             next += 1;
    ///             if r.write(format!("{next}\n")) != Flow::Ready {
    ///                 return;
    ///             }
    ///         }
    ///         r.end();
    ///     });
    ///     let _ = cx.request(ClientRequest::post(url).streamed(None), on);
    /// }
    /// # let _ = count;
    /// ```
    pub fn write<'c>(&mut self, data: impl Into<Chunk<'c>>) -> Flow {
        sending::write(&mut self.cx, self.key.0, data.into())
    }

    /// Ends the request's body. Fewer bytes than the length that was given end the request with an
    /// error.
    pub fn end(&mut self) {
        sending::end(&mut self.cx, self.key.0);
    }

    /// Writes these last bytes, and ends the body.
    pub fn end_with<'c>(&mut self, data: impl Into<Chunk<'c>>) -> Flow {
        let flow = self.write(data);
        self.end();
        flow
    }

    /// Stops the answer's body: nothing more is read, so that the server stops, too.
    pub fn pause(&mut self) {
        set_paused(&mut self.cx, self.key.0, true);
    }

    /// Goes on with it.
    pub fn resume(&mut self) {
        set_paused(&mut self.cx, self.key.0, false);
    }

    /// Ends the request now: its connection is closed, and `on_close` gets
    /// [`RequestCause::Destroyed`]. The same as [`Cx::close`] with its key.
    pub fn destroy(&mut self) {
        fail(&mut self.cx, self.key.0, RequestCause::Destroyed);
    }

    /// The connection that it has; `None` while it waits for one, and when it is over.
    pub fn socket_key(&mut self) -> Option<SocketKey> {
        socket_of(&mut self.cx, self.key.0)
    }

    /// Gives the connection to a handler: in [`on_head`](ResponseHandler::on_head), if the head has
    /// [`upgrade`](crate::codec::ResponseHead::upgrade) set. Bytes that came behind the head go to
    /// the handler first. The connection does not belong to the agent any more. `None`: this is not
    /// the moment, and the handler is dropped.
    ///
    /// ```
    /// use tidegate_http::{ClientRequest, HttpClient, OnResponse};
    /// use tidegate_net::On;
    /// fn tunnel(cx: &mut tidegate_loop::Cx<'_>) {
    ///     let on = OnResponse::new().head(|r, head| {
    ///         if head.upgrade {
    ///             r.upgrade(On::new().data(|_, bytes| println!("{bytes:?}")));
    ///         }
    ///     });
    ///     let _ = cx.request(ClientRequest::connect("http://proxy.example:3128", "tide:22"), on);
    /// }
    /// # let _ = tunnel;
    /// ```
    pub fn upgrade(&mut self, handler: impl Handler) -> Option<SocketKey> {
        let may = with_request(&mut self.cx, self.key.0, |r, _| std::mem::take(&mut r.may_upgrade));
        let socket = socket_of(&mut self.cx, self.key.0).filter(|_| may == Some(true));
        let Some(socket) = socket else {
            self.cx.driver().bury(handler);
            return None;
        };
        let paused = with_request(&mut self.cx, self.key.0, |r, _| {
            (r.conn, r.upgraded) = (None, Some(socket));
            r.paused
        });
        let _ = self.cx.set_ref(socket, true);
        let mut s = self.cx.socket(socket);
        // What was set for the request ends with it.
        s.clear_timer(sending::CONTINUE);
        s.set_handler(handler);
        if paused == Some(true) {
            s.resume();
        }
        Some(socket)
    }
}
