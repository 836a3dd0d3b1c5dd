//! [`HttpOptions`]: how a server of HTTP treats its connections.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_net::Rate;

use crate::message::limits::Limits;

/// How a server treats its connections: limits, timeouts. Zero turns a timeout off.
///
/// ```
/// use std::time::Duration;
/// use tidegate_http::HttpOptions;
/// let options = HttpOptions::new().headers_timeout(Duration::from_secs(10)).max_head(8 * 1024);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HttpOptions {
    pub(crate) limits: Limits,
    pub(crate) headers_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) linger_silence: Duration,
    pub(crate) linger_total: Duration,
    pub(crate) linger_bytes: u64,
    pub(crate) max_requests: u64,
    pub(crate) request_rate: Option<Rate>,
    pub(crate) counted: bool,
    pub(crate) keep_alive_header: bool,
    pub(crate) shutdown_idle: Duration,
}

impl Default for HttpOptions {
    fn default() -> HttpOptions {
        HttpOptions {
            limits: Limits::default(),
            headers_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(300),
            keep_alive_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(60),
            linger_silence: Duration::from_secs(5),
            linger_total: Duration::from_secs(30),
            linger_bytes: 1 << 20,
            max_requests: 0,
            request_rate: None,
            counted: true,
            keep_alive_header: false,
            shutdown_idle: Duration::ZERO,
        }
    }
}

impl HttpOptions {
    /// The default options.
    pub fn new() -> HttpOptions {
        HttpOptions::default()
    }

    /// How large the parts of a request may be.
    pub fn limits(mut self, limits: Limits) -> HttpOptions {
        self.limits = limits;
        self
    }

    /// Bytes of a request's head; default 16 KiB. Beyond it the answer is 431.
    pub fn max_head(mut self, bytes: u32) -> HttpOptions {
        self.limits.max_head = bytes;
        self
    }

    /// Fields of a request; default 100, at most 128. Beyond it the answer is 431.
    pub fn max_headers(mut self, fields: u32) -> HttpOptions {
        self.limits.max_headers = fields;
        self
    }

    /// Bytes of a request's target; default 8 KiB. Beyond it the answer is 414.
    pub fn max_target(mut self, bytes: u32) -> HttpOptions {
        self.limits.max_target = bytes;
        self
    }

    /// Whether a request of HTTP/1.1 needs a `Host`; default true.
    pub fn require_host(mut self, on: bool) -> HttpOptions {
        self.limits.require_host = on;
        self
    }

    /// How long the head of a request may take: the first one from accept on, others from their
    /// first byte on. Default 60 s; then the answer is 408.
    pub fn headers_timeout(mut self, after: Duration) -> HttpOptions {
        self.headers_timeout = after;
        self
    }

    /// How long a whole request may take, its body included. Default 300 s; then the answer is
    /// 408, or a reset if a response has begun.
    pub fn request_timeout(mut self, after: Duration) -> HttpOptions {
        self.request_timeout = after;
        self
    }

    /// How long a connection may wait for its next request. Default 5 s; it is kept 1 s longer than
    /// that, since the request may be on its way. Then it is closed.
    pub fn keep_alive_timeout(mut self, after: Duration) -> HttpOptions {
        self.keep_alive_timeout = after;
        self
    }

    /// How long a client may take none of the bytes that wait for it. Default 60 s; it is reset
    /// then, and at the latest after twice as long.
    pub fn write_timeout(mut self, after: Duration) -> HttpOptions {
        self.write_timeout = after;
        self
    }

    /// How long and how much is read and dropped behind an answer after which the connection
    /// closes, so that the client can read the answer: until it is silent for `silence` (default
    /// 5 s), at most `bytes` (1 MiB) and for `total` (30 s).
    pub fn linger(mut self, bytes: u64, silence: Duration, total: Duration) -> HttpOptions {
        (self.linger_bytes, self.linger_silence, self.linger_total) = (bytes, silence, total);
        self
    }

    /// Requests that one connection may make; the answer to the last says `Connection: close`.
    /// Default 0: no limit.
    pub fn max_requests(mut self, requests: u64) -> HttpOptions {
        self.max_requests = requests;
        self
    }

    /// How often one client may ask: an address of IPv4, or a /64 of IPv6. Beyond it the answer is
    /// 429 with `Retry-After`, without a call of the handler, and the connection's next request is
    /// not read before the client may ask again; if that is later than an idle connection is kept,
    /// the answer closes the connection. Clients behind one address count as one; behind a
    /// balancer, take the client's address from its header
    /// ([`ListenOptions::proxy_protocol`](tidegate_net::ListenOptions::proxy_protocol)). 65,536
    /// clients are kept. Default: no limit.
    ///
    /// ```
    /// use tidegate_http::HttpOptions;
    /// use tidegate_net::Rate;
    /// let options = HttpOptions::new().request_rate(Rate::per_second(10).burst(20));
    /// # let _ = options;
    /// ```
    pub fn request_rate(mut self, rate: Rate) -> HttpOptions {
        self.request_rate = Some(rate);
        self
    }

    /// Whether requests of this server, their answers and durations are in
    /// [`HttpMetrics`](crate::HttpMetrics); default true. Not for a port that only balancers,
    /// probes and Prometheus ask: a 503 that says "not ready" is no failed request, and thousands
    /// of "alive" hide the share of those that failed.
    ///
    /// ```
    /// use tidegate_http::HttpOptions;
    /// let probes = HttpOptions::new().counted(false);
    /// # let _ = probes;
    /// ```
    pub fn counted(mut self, on: bool) -> HttpOptions {
        self.counted = on;
        self
    }

    /// Whether answers tell the client how long the connection is kept: `Keep-Alive: timeout=5`,
    /// the full seconds of [`keep_alive_timeout`](HttpOptions::keep_alive_timeout). Default false.
    /// Clients that read it do not send a request on a connection that is about to be closed.
    pub fn keep_alive_header(mut self, on: bool) -> HttpOptions {
        self.keep_alive_header = on;
        self
    }

    /// How long a shutdown keeps connections that wait for their next request: it is answered with
    /// `Connection: close`. Default zero: they are closed at once, and a request that is on its way
    /// at this moment is lost. Behind a balancer, some seconds: it uses each of them soon, and then
    /// knows. The shutdown's grace must be longer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_http::HttpOptions;
    /// let options = HttpOptions::new().shutdown_idle(Duration::from_secs(3));
    /// # let _ = options;
    /// ```
    pub fn shutdown_idle(mut self, after: Duration) -> HttpOptions {
        self.shutdown_idle = after;
        self
    }

    /// How long an idle connection is kept: longer than clients know, so that a request that is on
    /// its way still comes. Zero: without limit.
    #[inline]
    pub(crate) fn kept(&self) -> Duration {
        match self.keep_alive_timeout {
            Duration::ZERO => Duration::ZERO,
            keep_alive => keep_alive.saturating_add(Duration::from_secs(1)),
        }
    }

    /// The same in nanoseconds.
    #[inline]
    pub(crate) fn kept_nanos(&self) -> u64 {
        u64::try_from(self.kept().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The seconds that answers tell; 0: none.
    #[inline]
    pub(crate) fn hint(&self) -> u64 {
        if self.keep_alive_header { self.keep_alive_timeout.as_secs() } else { 0 }
    }
}
