//! What callbacks are called with: [`Exchange`] and [`ExchangeCx`], a key and the borrowed loop.
#![forbid(unsafe_code)]

use tidegate_loop::{AsCx, Cx};

use crate::exchange::key::ExchangeKey;

/// A request that waits for its answer. Each of its methods that answers, or says who will, uses it
/// up. If none is called, the answer is 500.
///
/// ```
/// use tidegate_http::{Exchange, Head};
/// fn on_request(head: &Head<'_>, x: Exchange<'_>) {
///     match (head.method, head.path()) {
///         ("GET", "/") => x.reply(200, "high tide\n"),
///         (_, "/") => x.reply(405, ""),
///         _ => x.reply(404, "no such place\n"),
///     }
/// }
/// # let _ = on_request;
/// ```
pub struct Exchange<'a>(pub(crate) ExchangeCx<'a>);

impl AsCx for Exchange<'_> {
    fn cx(&mut self) -> Cx<'_> {
        self.0.cx()
    }
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(cx: Cx<'a>, key: ExchangeKey) -> Exchange<'a> {
        Exchange(ExchangeCx::new(cx, key))
    }
}

/// One request and its response. It has timers, ticks and the other methods of [`AsCx`]. On one
/// that is over, every method does nothing, and a write returns
/// [`Flow::Closed`](tidegate_stream::Flow).
///
/// ```
/// use tidegate_http::{Http, HttpError};
/// use tidegate_loop::{AsCx, Loop};
/// use tidegate_net::Net;
/// use std::time::Duration;
/// let mut lp = Loop::new()?;
/// let server = lp.http_listen("127.0.0.1:0", |_, mut x| {
///     let key = x.key();
///     x.after(Duration::from_secs(1), move |cx| {
///         let _ = cx.exchange(key).reply(200, "late\n"); // an error: the client is gone
///     });
///     x.later();
/// })?;
/// # lp.server(server).close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ExchangeCx<'a> {
    pub(crate) cx: Cx<'a>,
    pub(crate) key: ExchangeKey,
}

impl AsCx for ExchangeCx<'_> {
    fn cx(&mut self) -> Cx<'_> {
        self.cx.cx()
    }
}

impl<'a> ExchangeCx<'a> {
    #[inline]
    pub(crate) fn new(cx: Cx<'a>, key: ExchangeKey) -> ExchangeCx<'a> {
        ExchangeCx { cx, key }
    }

    /// Its key, to be kept.
    pub fn key(&self) -> ExchangeKey {
        self.key
    }
}
