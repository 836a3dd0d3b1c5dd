//! [`HttpMetrics`]: what the servers of a loop counted.
#![forbid(unsafe_code)]

use tidegate_loop::Histogram;

/// What the servers of a loop counted: plain numbers. For a rate, take two and subtract. A server
/// may leave its requests out ([`HttpOptions::counted`](crate::HttpOptions::counted)).
///
/// ```
/// use tidegate_http::Http;
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// assert_eq!(lp.http_metrics().requests, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpMetrics {
    /// Connections that are open.
    pub connections: usize,
    /// Connections that wait for their next request.
    pub idle: usize,
    /// Requests whose head was accepted.
    pub requests: u64,
    /// Of these, requests that were not the first of their connection.
    pub reused: u64,
    /// Exchanges that have begun and are not over.
    pub in_flight: usize,
    /// Responses that were written to their end, by the first digit of the status: 2xx at index 1.
    pub responses: [u64; 9],
    /// Exchanges that broke before the end of their response.
    pub broken: u64,
    /// Requests that were refused: the bytes are not valid, or beyond a limit.
    pub refused: u64,
    /// Requests that were answered with 429: their client asked too often.
    pub limited: u64,
    /// Requests that took too long: answered with 408, or cut off.
    pub timed_out: u64,
    /// Connections that waited too long for a request.
    pub idle_closed: u64,
    /// Connections that went to another protocol.
    pub upgraded: u64,
    /// From a request's head to the end of its response, to the time of the loop's polls.
    pub durations: Histogram,
}
