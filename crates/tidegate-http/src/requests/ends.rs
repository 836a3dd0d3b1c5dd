//! Bodies as ends of pipes.
#![forbid(unsafe_code)]

use bytes::Bytes;
use tidegate_loop::{Cx, Key};
use tidegate_net::{Chunk, Flow, Net};
use tidegate_stream::{PipeKey, ReadEnd, StreamError, WriteEnd};

use crate::agent::state::{CLIENT, Sent, socket_of, with_request};
use crate::client::error::RequestCause;
use crate::client::key::RequestKey;
use crate::client::request::Body;
use crate::requests::deadline::arm;
use crate::requests::ending::fail;
use crate::requests::sending;

/// The body of an answer, as the source of a pipe. Open the pipe when the request is made, or in
/// [`on_head`](crate::ResponseHandler::on_head).
///
/// ```
/// use tidegate_http::{ClientRequest, HttpClient, OnResponse, ResponseBody};
/// use tidegate_net::{Net, SocketKey};
/// use tidegate_stream::Streams;
/// fn download(cx: &mut tidegate_loop::Cx<'_>, url: &str, to: SocketKey) {
///     let on = OnResponse::new().head(move |r, head| match head.status {
///         200 => {
///             let body = ResponseBody(r.key());
///             if r.pipe(body, to, |_, result| println!("{result:?}")).is_err() {
///                 r.destroy();
///             }
///         }
///         _ => r.destroy(),
///     });
///     let _ = cx.request(ClientRequest::get(url), on);
/// }
/// # let _ = download;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseBody(pub RequestKey);

/// The body of a request, as the sink of a pipe. The request must be
/// [`streamed`](crate::ClientRequest::streamed).
///
/// ```
/// use tidegate_http::{ClientRequest, HttpClient, OnResponse, RequestBody};
/// use tidegate_net::{Net, SocketKey};
/// use tidegate_stream::Streams;
/// fn upload(cx: &mut tidegate_loop::Cx<'_>, from: SocketKey, url: &str) {
///     let Ok(key) = cx.request(ClientRequest::post(url).streamed(None), ()) else { return };
///     let _ = cx.pipe(from, RequestBody(key), |_, result| println!("{result:?}"));
/// }
/// # let _ = upload;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestBody(pub RequestKey);

/// Stops or goes on with the answer's body.
pub(crate) fn set_paused(cx: &mut Cx<'_>, key: Key, paused: bool) {
    let changed = with_request(cx, key, |r, d| {
        let changed = r.paused != paused;
        r.paused = paused;
        if changed && !paused {
            r.moved = d.moment();
        }
        changed.then_some(r.status != 0)
    });
    let Some(is_answered) = changed.flatten() else { return };
    if let Some(socket) = socket_of(cx, key) {
        match paused {
            // The head is to come all the same.
            true if !is_answered => {}
            true => cx.socket(socket).pause(),
            false => cx.socket(socket).resume(),
        }
    }
    if !paused {
        arm(cx, key);
    }
}

impl ReadEnd for ResponseBody {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError> {
        let attached = with_request(cx, self.0.0, |r, _| match r.into {
            Some(_) => Err(StreamError::Piped),
            None => {
                r.into = Some(pipe);
                Ok(())
            }
        });
        attached.unwrap_or(Err(StreamError::Closed))?;
        set_paused(cx, self.0.0, false);
        Ok(())
    }

    fn pause(&self, cx: &mut Cx<'_>) {
        set_paused(cx, self.0.0, true);
    }

    fn resume(&self, cx: &mut Cx<'_>) {
        set_paused(cx, self.0.0, false);
    }

    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        fail(cx, self.0.0, RequestCause::Piped(cause.clone()));
    }
}

impl WriteEnd for RequestBody {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<Flow, StreamError> {
        let attached = with_request(cx, self.0.0, |r, _| {
            if r.from.is_some() {
                return Err(StreamError::Piped);
            }
            if r.ended || !matches!(r.body, Body::Streamed(_)) {
                return Err(StreamError::Closed);
            }
            r.from = Some(pipe);
            r.full |= r.sent != Sent::Part;
            Ok(if r.full { Flow::Full } else { Flow::Ready })
        });
        attached.unwrap_or(Err(StreamError::Closed))
    }

    fn write(&self, cx: &mut Cx<'_>, data: Bytes) -> Flow {
        sending::write(cx, self.0.0, Chunk::Shared(data))
    }

    fn end(&self, cx: &mut Cx<'_>) {
        sending::end(cx, self.0.0);
        // If everything is sent, a dispatch reports that.
        let (_, mut d) = cx.layer(&CLIENT);
        if let Some(mut handle) = d.handle(CLIENT.owner(), self.0.0) {
            handle.pend();
        }
    }

    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        fail(cx, self.0.0, RequestCause::Piped(cause.clone()));
    }
}
