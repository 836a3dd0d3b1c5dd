//! [`ClientRequest`]: what is asked, and for how long an answer is waited for.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::client::key::AgentKey;
use crate::client::origin::{Origin, split};
use crate::codec::Length;

/// How long each stage of a request may take. Zero: for ever. A deadline that has passed ends the
/// request with the [`Deadline`](crate::Deadline) of that name.
///
/// ```
/// use std::time::Duration;
/// use tidegate_http::Timeouts;
/// let timeouts = Timeouts { total: Duration::from_secs(5), ..Timeouts::default() };
/// assert_eq!(timeouts.connect, Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Until the request has a connection: it waits for a free one, or one is made. Default 10 s.
    pub connect: Duration,
    /// From the end of the request until the head of the answer is there. Default 30 s.
    pub head: Duration,
    /// Without a byte, while the request is sent, and while the answer's body comes. It does not
    /// run while you pause the body. Default 30 s.
    pub idle: Duration,
    /// For all of it. Default zero.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let half_a_minute = Duration::from_secs(30);
        Timeouts {
            connect: Duration::from_secs(10),
            head: half_a_minute,
            idle: half_a_minute,
            total: Duration::ZERO,
        }
    }
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    Streamed(Length),
}

/// A request to be made: see [`HttpClient::request`](crate::HttpClient::request). What is wrong
/// with it (a URL, a field) is reported there, when it has ended.
///
/// `Host` comes from the URL, unless the request has such a field. `Content-Length` and
/// `Transfer-Encoding` come from the body.
///
/// ```
/// use tidegate_http::ClientRequest;
/// let request = ClientRequest::post("http://tide.example/levels")
///     .header("content-type", "text/plain")
///     .body("high");
/// # let _ = request;
/// ```
#[derive(Clone, Debug)]
pub struct ClientRequest {
    pub(crate) agent: Option<AgentKey>,
    pub(crate) method: Cow<'static, str>,
    pub(crate) to: Result<(Origin, String), &'static str>,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Body,
    pub(crate) timeouts: Timeouts,
    pub(crate) expect: Option<Duration>,
    pub(crate) upgrade: bool,
    pub(crate) idempotent: Option<bool>,
}

impl ClientRequest {
    /// A request with this method.
    pub fn new(method: impl Into<Cow<'static, str>>, url: &str) -> ClientRequest {
        ClientRequest {
            agent: None,
            method: method.into(),
            to: split(url),
            fields: Vec::new(),
            body: Body::Whole(Bytes::new()),
            timeouts: Timeouts::default(),
            expect: None,
            upgrade: false,
            idempotent: None,
        }
    }

    /// GET.
    pub fn get(url: &str) -> ClientRequest {
        ClientRequest::new("GET", url)
    }

    /// POST.
    pub fn post(url: &str) -> ClientRequest {
        ClientRequest::new("POST", url)
    }

    /// CONNECT, sent to the proxy at this URL: asks for a tunnel to `authority`, a host and a port.
    /// The answer's head comes with `upgrade` if it is granted: then call
    /// [`RequestCx::upgrade`](crate::RequestCx::upgrade).
    pub fn connect(proxy: &str, authority: &str) -> ClientRequest {
        ClientRequest::new("CONNECT", proxy).target(authority)
    }

    /// The agent whose connections are used. By default one of the loop's, with default options.
    pub fn agent(mut self, agent: AgentKey) -> ClientRequest {
        self.agent = Some(agent);
        self
    }

    /// What is sent as the target, in place of the URL's path and query: for `OPTIONS *`, or a
    /// whole URL for a proxy.
    pub fn target(mut self, target: &str) -> ClientRequest {
        if let Ok((_, of_url)) = &mut self.to {
            target.clone_into(of_url);
        }
        self
    }

    /// Adds a field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> ClientRequest {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Its method.
    ///
    /// ```
    /// use tidegate_http::ClientRequest;
    /// let request = ClientRequest::get("http://tide.example:8080/levels?now");
    /// assert_eq!(request.method(), "GET");
    /// assert_eq!(request.origin().unwrap().port(), 8080);
    /// assert_eq!(request.path(), Some("/levels?now"));
    /// ```
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Where it goes; `None` if its URL is none.
    pub fn origin(&self) -> Option<&Origin> {
        self.to.as_ref().ok().map(|(origin, _)| origin)
    }

    /// What it asks for there: path and query. `None` if its URL is none.
    pub fn path(&self) -> Option<&str> {
        self.to.as_ref().ok().map(|(_, target)| target.as_str())
    }

    /// The body. It can be sent again, if a connection turns out to be dead.
    pub fn body(mut self, body: impl Into<Bytes>) -> ClientRequest {
        self.body = Body::Whole(body.into());
        self
    }

    /// A body that is written later: by [`RequestCx::write`](crate::RequestCx::write), or by a pipe
    /// into [`RequestBody`](crate::RequestBody). Without a length it goes out in chunks.
    pub fn streamed(mut self, length: Option<u64>) -> ClientRequest {
        self.body = Body::Streamed(length.map_or(Length::Unknown, Length::Known));
        self
    }

    /// Asks the server before the body is sent: `Expect: 100-continue`. The body is sent when the
    /// server agrees, or says nothing for this long; a final answer comes in its place.
    pub fn expect_continue(mut self, wait: Duration) -> ClientRequest {
        self.expect = Some(wait);
        self
    }

    /// Asks for another protocol: adds `Upgrade` and `Connection: upgrade`. If the server agrees,
    /// the answer's head has the status 101 and comes with `upgrade`: then call
    /// [`RequestCx::upgrade`](crate::RequestCx::upgrade).
    pub fn upgrade(mut self, protocol: &str) -> ClientRequest {
        self.upgrade = true;
        self.header("Upgrade", protocol).header("Connection", "upgrade")
    }

    /// How long each stage may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> ClientRequest {
        self.timeouts = timeouts;
        self
    }

    /// Whether sending it twice does no harm. By default this depends on the method: GET, HEAD,
    /// OPTIONS, TRACE, PUT and DELETE.
    pub fn idempotent(mut self, idempotent: bool) -> ClientRequest {
        self.idempotent = Some(idempotent);
        self
    }

    /// Whether it may be sent twice.
    pub(crate) fn is_idempotent(&self) -> bool {
        let method = &*self.method;
        let usual = matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
        self.idempotent.unwrap_or(usual)
    }
}
