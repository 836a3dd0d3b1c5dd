//! [`Http`]: servers of HTTP, on whatever lends a [`Cx`](tidegate_loop::Cx).
#![forbid(unsafe_code)]

use tidegate_loop::AsCx;
use tidegate_net::{ListenError, ListenOptions, ServerKey};

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
