//! [`Http`]: servers of HTTP, on whatever lends a [`Cx`](tidegate_loop::Cx).
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, KeyError};
use tidegate_net::{ListenError, ListenOptions, ServerKey, SocketKey};

use crate::callbacks::contexts::{Exchange, ExchangeCx};
use crate::callbacks::handler::{HttpHandler, OnRequest};
use crate::codec::RequestHead;
use crate::exchange::key::ExchangeKey;
use crate::exchange::metrics::HttpMetrics;
use crate::exchange::options::HttpOptions;
use crate::server::serve;
use crate::state::conn::Phase;
use crate::state::layer::HTTP;

/// Servers of HTTP. Implemented for the loop, for `Cx`, and for the contexts of callbacks.
///
/// ```
/// use tidegate_http::Http;
/// use tidegate_loop::Loop;
/// use tidegate_net::Net;
/// let mut lp = Loop::new()?;
/// let server = lp.http_listen("127.0.0.1:0", |head, x| match head.path() {
///     "/" => x.reply(200, "high tide\n"),
///     _ => x.reply(404, ""),
/// })?;
/// println!("listening on {}", lp.server(server).local_addr()?);
/// lp.server(server).close()?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Http: AsCx {
    /// Opens a server with default options. `f` gets each request.
    ///
    /// The key is that of a server of connections: [`close`](tidegate_net::ServerCx::close),
    /// [`shutdown`](tidegate_net::ServerCx::shutdown) and the other methods of `ServerCx` work. A
    /// shutdown closes connections that wait for a request, and others after their answer.
    /// `allow_half_open` and, over TCP, `no_delay` are set, whatever the options say.
    fn http_listen(
        &mut self,
        at: impl Into<ListenOptions>,
        f: impl FnMut(&RequestHead<'_>, Exchange<'_>) + 'static,
    ) -> Result<ServerKey, ListenError> {
        self.http_serve(at, HttpOptions::default(), OnRequest(f))
    }

    /// Opens a server with all of its callbacks.
    fn http_serve(
        &mut self,
        at: impl Into<ListenOptions>,
        options: HttpOptions,
        handler: impl HttpHandler,
    ) -> Result<ServerKey, ListenError> {
        serve::open(&mut self.cx(), at.into(), options, Box::new(handler))
    }

    /// Serves HTTP on a connection that you have already: one that your own callback accepted, after
    /// its first bytes showed what they are; one that you adopted. The connection's handler is
    /// dropped after the current callback. Bytes that it got and that are HTTP can be given back
    /// by [`unread`](tidegate_net::SocketCx::unread) after this call.
    ///
    /// `handler` serves this connection alone, and is dropped with it, without
    /// [`on_close`](HttpHandler::on_close). `allow_half_open` is set. An error: the connection is
    /// over, or was not accepted yet.
    ///
    /// ```
    /// use tidegate_http::{Exchange, Head, Http, HttpHandler, HttpOptions};
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, On};
    /// struct Hello;
    /// impl HttpHandler for Hello {
    ///     fn on_request(&mut self, _: &Head<'_>, x: Exchange<'_>) {
    ///         x.reply(200, "hello\n");
    ///     }
    /// }
    /// let mut lp = Loop::new()?;
    /// // One port for two protocols: the first byte says which.
    /// let server = lp.listen("127.0.0.1:0", |conn| {
    ///     conn.accept(On::new().data(|s, first| match first[0] {
    ///         0 => s.end(), // the other one
    ///         _ => {
    ///             let key = s.key();
    ///             if s.cx().http_attach(key, HttpOptions::new(), Hello).is_ok() {
    ///                 s.unread(first);
    ///             }
    ///         }
    ///     }));
    /// })?;
    /// # lp.server(server).close()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn http_attach(
        &mut self,
        socket: SocketKey,
        options: HttpOptions,
        handler: impl HttpHandler,
    ) -> Result<(), KeyError> {
        serve::attach(&mut self.cx(), socket, options, Box::new(handler))
    }

    /// An exchange by its key. With the key of one that is over, or of another loop, every method
    /// does nothing or returns an error.
    fn exchange(&mut self, key: ExchangeKey) -> ExchangeCx<'_> {
        ExchangeCx::new(self.cx(), key)
    }

    /// The counters of all servers of the loop. It visits every connection.
    fn http_metrics(&mut self) -> HttpMetrics {
        let mut cx = self.cx();
        let (layer, _) = cx.layer(&HTTP);
        let idle = layer.conns.iter().filter(|(_, c)| c.phase == Phase::Idle).count();
        HttpMetrics { connections: layer.conns.len(), idle, ..layer.metrics }
    }
}

impl<T: AsCx + ?Sized> Http for T {}
