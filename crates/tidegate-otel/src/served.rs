//! Spans of requests that a server gets: from the head to the end of the response.
#![forbid(unsafe_code)]

use opentelemetry::Context;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt};
use tidegate_http::{ExchangeKey, HttpEvent};

use crate::state::{State, method, number, text};
use crate::traceparent::read_traceparent;

impl State {
    pub(crate) fn on_http(&mut self, event: &HttpEvent) {
        match event {
            HttpEvent::Request { exchange, method, target, headers, .. } => {
                self.served_begins(*exchange, method, target, headers);
            }
            HttpEvent::Response { exchange, status, bytes, .. } => {
                let bytes = i64::try_from(*bytes).unwrap_or(i64::MAX);
                self.served_ends(*exchange, |span| {
                    answered(span, *status);
                    span.span().set_attribute(number("http.response.body.size", bytes));
                });
            }
            HttpEvent::Upgraded { exchange, status, .. } => {
                self.served_ends(*exchange, |span| answered(span, *status));
            }
            HttpEvent::Broken { exchange, .. } => self.served_ends(*exchange, |span| {
                span.span().set_attribute(text("error.type", "broken"));
                span.span().set_status(Status::error("the exchange broke"));
            }),
            _ => {}
        }
    }

    fn served_begins(
        &mut self,
        exchange: ExchangeKey,
        verb: &str,
        target: &str,
        headers: &[(String, Vec<u8>)],
    ) {
        // That of an earlier request on the same connection is not current in this one.
        self.around.remove(exchange.socket().into());
        if !self.has_room() {
            return;
        }
        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let field = |wanted: &str| {
            let of = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            of.and_then(|(_, value)| std::str::from_utf8(value).ok())
        };
        let (name, mut attributes) = method(verb);
        attributes.push(text("url.path", target.split('?').next().unwrap_or_default()));
        let host = field("host").map(|host| match host.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                (host, port.parse::<u16>().ok())
            }
            _ => (host, None),
        });
        if let Some((host, port)) = host {
            attributes.push(text("server.address", host));
            attributes.extend(port.map(|port| number("server.port", port)));
        }
        if let Some(agent) = field("user-agent") {
            attributes.push(text("user_agent.original", agent));
        }
        if let Some(peer) = self.peers.get(&exchange.socket()) {
            attributes.push(text("client.address", &peer.ip().to_string()));
            attributes.push(number("client.port", peer.port()));
        }
        let parent = match read_traceparent(fields) {
            Some(parent) if self.goes_on => Context::new().with_remote_span_context(parent),
            _ => Context::new(),
        };
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let span = self.start(builder.with_attributes(attributes), &parent);
        self.around.set(exchange.socket().into(), span.clone());
        self.served.insert(exchange, span);
    }

    fn served_ends(&mut self, exchange: ExchangeKey, with: impl FnOnce(&Context)) {
        if let Some(span) = self.served.remove(&exchange) {
            with(&span);
            span.span().end();
            self.around.remove(exchange.socket().into());
        }
    }
}

fn answered(span: &Context, status: u16) {
    span.span().set_attribute(number("http.response.status_code", status));
    if status >= 500 {
        span.span().set_attribute(text("error.type", &status.to_string()));
        span.span().set_status(Status::error(""));
    }
}
