//! What a client's user writes: [`ResponseHandler`], and what it is called with: [`RequestCx`].
//!
//! Definitions alone. What can be done with a request is in `requests/face.rs`.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::{AsCx, Cx};

use crate::client::error::RequestError;
use crate::client::key::RequestKey;
use crate::codec::{FieldList, ResponseHead};

/// A request that was made. It has timers, ticks and the other methods of [`AsCx`]; for the rest of
/// the loop call [`cx`](AsCx::cx).
///
/// On a request that is over every method does nothing, and a write returns
/// [`Flow::Closed`](tidegate_net::Flow::Closed).
///
/// ```
/// use tidegate_http::RequestCx;
/// fn skip(r: &mut RequestCx<'_>, level: u32) {
///     if level > 10 {
///         r.destroy();
///     }
/// }
/// # let _ = skip;
/// ```
pub struct RequestCx<'a> {
    pub(crate) cx: Cx<'a>,
    pub(crate) key: RequestKey,
}

impl AsCx for RequestCx<'_> {
    fn cx(&mut self) -> Cx<'_> {
        self.cx.cx()
    }
}

impl RequestCx<'_> {
    /// The request's key, to be kept.
    pub fn key(&self) -> RequestKey {
        self.key
    }
}

/// A request that was answered.
///
/// ```
/// fn show(done: &tidegate_http::Answered) {
///     println!("{} after {:?}, {} bytes", done.status, done.elapsed, done.body);
/// }
/// # let _ = show;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub body: u64,
    /// From the call of [`request`](crate::HttpClient::request) to the end of the answer.
    pub elapsed: Duration,
    /// Whether it was sent on a connection that was kept, as a rule after an earlier answer.
    pub reused: bool,
    /// Whether it was sent a second time.
    pub retried: bool,
    /// Whether the connection was given to a handler: see
    /// [`RequestCx::upgrade`](crate::RequestCx::upgrade).
    pub upgraded: bool,
}

/// What a request is answered with, in the order of the methods. A set of closures is one, too:
/// [`OnResponse`](crate::OnResponse).
///
/// ```
/// use tidegate_http::{RequestCx, ResponseHandler};
/// struct Count(u64);
/// impl ResponseHandler for Count {
///     fn on_data(&mut self, _: &mut RequestCx<'_>, part: &[u8]) {
///         self.0 += part.len() as u64;
///     }
/// }
/// # let _ = Count(0);
/// ```
pub trait ResponseHandler: 'static {
    /// More of the request's body may be written: after [`Flow::Full`](tidegate_net::Flow::Full).
    fn on_drain(&mut self, r: &mut RequestCx<'_>) {
        let _ = r;
    }

    /// An informational response (1xx); the answer is still to come. 100 does not come here, nor
    /// does 101.
    fn on_informational(&mut self, r: &mut RequestCx<'_>, head: &ResponseHead<'_>) {
        let _ = (r, head);
    }

    /// The head of the answer. If [`upgrade`](ResponseHead::upgrade) is set, call
    /// [`RequestCx::upgrade`](crate::RequestCx::upgrade) here.
    fn on_head(&mut self, r: &mut RequestCx<'_>, head: &ResponseHead<'_>) {
        let _ = (r, head);
    }

    /// A part of its body. Not called while it goes into a pipe.
    fn on_data(&mut self, r: &mut RequestCx<'_>, part: &[u8]) {
        let _ = (r, part);
    }

    /// The fields behind a chunked body.
    fn on_trailers(&mut self, r: &mut RequestCx<'_>, fields: &FieldList<'_>) {
        let _ = (r, fields);
    }

    /// The answer is complete. Its connection may have its next request by now. A body that is
    /// paused holds this back only while bytes of it are to come.
    fn on_end(&mut self, r: &mut RequestCx<'_>) {
        let _ = r;
    }

    /// The request is over: the last call, exactly once. By default an error is counted and logged,
    /// unless a pipe got it.
    fn on_close(
        &mut self,
        cx: &mut Cx<'_>,
        request: RequestKey,
        result: Result<Answered, RequestError>,
    ) {
        let _ = request;
        if let Err(e) = result {
            if !e.is_piped() {
                cx.driver().unhandled("tidegate::http", e.alike(), format_args!("{e}"));
            }
        }
    }
}

impl ResponseHandler for () {}
