//! What an agent counts ([`AgentMetrics`]), and what observers see of requests ([`ClientEvent`]).
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::time::Duration;

use tidegate_loop::{LayerEvent, Value};
use tidegate_net::SocketKey;

use crate::client::error::RequestError;
use crate::client::key::RequestKey;

/// The counters of an agent. The first five say how many there are now.
///
/// ```
/// use tidegate_http::{Agent, HttpClient};
/// let mut lp = tidegate_loop::Loop::new()?;
/// let agent = lp.http_agent(Agent::new())?;
/// assert_eq!(lp.agent_metrics(agent).unwrap().open, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct AgentMetrics {
    /// Origins with a connection, or a request that waits.
    pub origins: usize,
    /// Connections, also those that are being made.
    pub open: usize,
    /// Of these, being made.
    pub connecting: usize,
    /// Of these, free.
    pub free: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Requests made.
    pub requests: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Requests that failed by a deadline.
    pub timed_out: u64,
    /// Requests refused because too many waited.
    pub pool_full: u64,
    /// Requests that were sent on a connection that was used before.
    pub reused: u64,
    /// Requests that were sent a second time.
    pub retried: u64,
    /// Connections made.
    pub connected: u64,
    /// Connections that could not be made.
    pub connect_failed: u64,
    /// Free connections that their server ended.
    pub ended_free: u64,
    /// Free connections on which bytes came without a request.
    pub unsolicited: u64,
    /// Free connections that were kept too long.
    pub expired: u64,
    /// Free connections that had to leave.
    pub evicted: u64,
}

/// What happened to a request.
///
/// ```
/// use tidegate_http::ClientEvent;
/// use tidegate_loop::{Event, Moment, Observer};
/// struct Retries(u64);
/// impl Observer for Retries {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         if let Event::Layer(e) = event {
///             if let Some(ClientEvent::Retried { .. }) = e.as_any().downcast_ref() {
///                 self.0 += 1;
///             }
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// It waits for a connection.
    Waiting {
        /// Which.
        request: RequestKey,
    },
    /// It is sent.
    Sent {
        /// Which.
        request: RequestKey,
        /// On which connection.
        socket: SocketKey,
        /// Whether the connection was kept, as a rule after an earlier answer.
        reused: bool,
    },
    /// Its connection was dead: it is sent a second time.
    Retried {
        /// Which.
        request: RequestKey,
    },
    /// The head of its answer is there.
    Head {
        /// Which.
        request: RequestKey,
        /// The status.
        status: u16,
        /// Since it was made.
        elapsed: Duration,
    },
    /// It was answered.
    Answered {
        /// Which.
        request: RequestKey,
        /// The status.
        status: u16,
        /// Bytes of the answer's body.
        body: u64,
        /// Since it was made.
        elapsed: Duration,
    },
    /// It failed.
    Failed {
        /// Which.
        request: RequestKey,
        /// How.
        error: RequestError,
    },
}

impl ClientEvent {
    fn request(&self) -> RequestKey {
        match self {
            ClientEvent::Waiting { request }
            | ClientEvent::Sent { request, .. }
            | ClientEvent::Retried { request }
            | ClientEvent::Head { request, .. }
            | ClientEvent::Answered { request, .. }
            | ClientEvent::Failed { request, .. } => *request,
        }
    }
}

impl LayerEvent for ClientEvent {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn layer(&self) -> &'static str {
        "http client"
    }

    fn name(&self) -> &'static str {
        match self {
            ClientEvent::Waiting { .. } => "request waiting",
            ClientEvent::Sent { .. } => "request sent",
            ClientEvent::Retried { .. } => "request retried",
            ClientEvent::Head { .. } => "answer begun",
            ClientEvent::Answered { .. } => "request answered",
            ClientEvent::Failed { .. } => "request failed",
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        visit("request", Value::Handle { kind: "http request", key: self.request().into() });
        match self {
            ClientEvent::Waiting { .. } | ClientEvent::Retried { .. } => {}
            ClientEvent::Sent { socket, reused, .. } => {
                visit("socket", Value::Handle { kind: "socket", key: (*socket).into() });
                visit("reused", (*reused).into());
            }
            ClientEvent::Head { status, elapsed, .. } => {
                visit("status", u32::from(*status).into());
                visit("elapsed", (*elapsed).into());
            }
            ClientEvent::Answered { status, body, elapsed, .. } => {
                visit("status", u32::from(*status).into());
                visit("body", (*body).into());
                visit("elapsed", (*elapsed).into());
            }
            ClientEvent::Failed { error, .. } => visit("error", Value::Text(error)),
        }
    }
}

impl fmt::Display for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            ClientEvent::Waiting { .. } | ClientEvent::Retried { .. } => Ok(()),
            ClientEvent::Sent { reused: true, .. } => f.write_str(" on a connection used before"),
            ClientEvent::Sent { .. } => f.write_str(" on a new connection"),
            ClientEvent::Head { status, elapsed, .. } => {
                write!(f, ": {status} after {elapsed:.1?}")
            }
            ClientEvent::Answered { status, body, elapsed, .. } => {
                write!(f, ": {status}, {body} bytes, after {elapsed:.1?}")
            }
            ClientEvent::Failed { error, .. } => write!(f, ": {error}"),
        }
    }
}
