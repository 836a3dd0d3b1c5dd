//! Spans of requests that a client makes: from the call to the end of the answer.
#![forbid(unsafe_code)]

use opentelemetry::Context;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt};
use tidegate_http::{ClientEvent, ClientRequest, RequestKey};

use crate::state::{Outgoing, State, method, number, text};
use crate::traceparent::write_traceparent;

impl State {
    /// A request is about to be made, in the current context: its span, and the request with its
    /// fields.
    pub(crate) fn sent_begins(&mut self, request: ClientRequest) -> (ClientRequest, Outgoing) {
        let parent = Context::current();
        let mut span = parent.clone();
        if self.has_room() {
            let (name, mut attributes) = method(request.method());
            if let Some(origin) = request.origin() {
                attributes.push(text("server.address", origin.host()));
                attributes.push(number("server.port", origin.port()));
                let scheme = if origin.is_secure() { "https" } else { "http" };
                // Without the query, which may be secret.
                let path = request.path().and_then(|p| p.split('?').next()).unwrap_or_default();
                let url = format!("{scheme}://{}:{}{path}", origin.host(), origin.port());
                attributes.push(text("url.full", &url));
            }
            let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Client);
            span = self.start(builder.with_attributes(attributes), &parent);
        }
        let request = inject(request, &span);
        (request, Outgoing { span, parent, resent: 0, socket: None })
    }

    /// It was made.
    pub(crate) fn sent_is(&mut self, key: RequestKey, outgoing: Outgoing) {
        self.around.set(key.into(), outgoing.parent.clone());
        self.sent.insert(key, outgoing);
    }

    pub(crate) fn on_client(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Sent { request, socket, .. } => {
                if let Some(of) = self.sent.get_mut(request) {
                    of.socket = Some(*socket);
                    self.around.set((*socket).into(), of.parent.clone());
                }
            }
            ClientEvent::Retried { request } => {
                if let Some(of) = self.sent.get_mut(request) {
                    of.resent += 1;
                    let resent = number("http.request.resend_count", of.resent);
                    of.span.span().set_attribute(resent);
                }
            }
            ClientEvent::Answered { request, status, .. } => {
                self.sent_ends(*request, |span| {
                    span.span().set_attribute(number("http.response.status_code", *status));
                    if *status >= 400 {
                        span.span().set_attribute(text("error.type", &status.to_string()));
                        span.span().set_status(Status::error(""));
                    }
                });
            }
            ClientEvent::Failed { request, error } => self.sent_ends(*request, |span| {
                span.span().set_attribute(text("error.type", &error.stage().to_string()));
                span.span().set_status(Status::error(error.to_string()));
            }),
            _ => {}
        }
    }

    fn sent_ends(&mut self, request: RequestKey, with: impl FnOnce(&Context)) {
        let Some(of) = self.sent.remove(&request) else { return };
        with(&of.span);
        of.span.span().end();
        if let Some(socket) = of.socket {
            self.around.remove(socket.into());
        }
        self.over.insert(request.into());
    }
}

/// Adds the fields of W3C Trace Context.
pub(crate) fn inject(request: ClientRequest, of: &Context) -> ClientRequest {
    let Some((parent, state)) = write_traceparent(of.span().span_context()) else { return request };
    let request = request.header("traceparent", parent);
    match state {
        Some(state) => request.header("tracestate", state),
        None => request,
    }
}

impl Outgoing {
    /// Whether it has a span; one beyond the limit has its parent's.
    pub(crate) fn has_span(&self) -> bool {
        self.span.span().span_context() != self.parent.span().span_context()
    }

    /// The request was not made.
    pub(crate) fn cancel(&self) {
        if self.has_span() {
            self.span.span().set_status(Status::error("the loop's table is full"));
            self.span.span().end();
        }
    }
}
