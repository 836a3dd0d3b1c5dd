//! Spans of connections that are made, and of TLS handshakes; who a server's peers are.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use tidegate_loop::{LayerEvent, Value};
use tidegate_net::{ConnectionInfo, NetEvent, SocketEvent, SocketKey};

use crate::state::{Connecting, State, number, text};

/// Attempts that a span shows.
const MOST_ATTEMPTS: usize = 32;

impl State {
    pub(crate) fn on_net(&mut self, event: &NetEvent) {
        let NetEvent::Socket(of, event) = event else { return };
        let key = of.key;
        match event {
            SocketEvent::LookupStart { host } => {
                if let Some(c) = self.connect_begins(key) {
                    c.name = Some(host.clone());
                }
            }
            SocketEvent::AttemptStart { to } => {
                if let Some(c) = self.connect_begins(key) {
                    c.note("attempt", vec![text("network.peer.address", &to.to_string())]);
                }
            }
            SocketEvent::AttemptFailed(attempt) => {
                if let Some(c) = self.connecting.get_mut(&key) {
                    c.note("attempt failed", vec![text("error.type", &attempt.to_string())]);
                }
            }
            SocketEvent::Connected { .. } => self.connect_ends(of, None),
            SocketEvent::Accepted | SocketEvent::Proxied { .. } if of.server.is_some() => {
                // As long as the connection lives.
                if let Some(remote) = of.remote {
                    self.peers.insert(key, remote);
                }
            }
            last if last.is_last() => {
                self.peers.remove(&key);
                self.around.remove(key.into());
                if let SocketEvent::Closed { reason, .. } = last {
                    self.connect_ends(of, Some(reason.to_string()));
                }
            }
            _ => {}
        }
    }

    fn connect_begins(&mut self, key: SocketKey) -> Option<&mut Connecting> {
        if !self.connecting.contains_key(&key) {
            if !self.has_room() {
                return None;
            }
            let (parent, began) = (Context::current(), SystemTime::now());
            let new = Connecting { parent, began, name: None, attempts: Vec::new() };
            self.connecting.insert(key, new);
        }
        self.connecting.get_mut(&key)
    }

    fn connect_ends(&mut self, of: &ConnectionInfo, failed: Option<String>) {
        let Some(c) = self.connecting.remove(&of.key) else { return };
        let mut attributes = peer(of);
        attributes.extend(c.name.as_deref().map(|name| text("server.address", name)));
        let builder = SpanBuilder::from_name("connect").with_kind(SpanKind::Client);
        let builder = builder.with_start_time(c.began).with_attributes(attributes);
        let span = self.start(builder, &c.parent);
        for (at, name, attributes) in c.attempts {
            span.span().add_event_with_timestamp(name, at, attributes);
        }
        if let Some(why) = failed {
            span.span().set_status(Status::error(why));
        }
        span.span().end();
    }

    /// An event of the layer `tls`, by its fields.
    pub(crate) fn on_tls(&mut self, event: &dyn LayerEvent) {
        let (mut took, mut attributes, mut failed) = (Duration::ZERO, Vec::new(), None);
        event.fields(&mut |name, value| match (name, value) {
            ("took", Value::Duration(value)) => took = value,
            ("version", value) => attributes.push(text("tls.protocol.version", &value.to_string())),
            ("suite", value) => attributes.push(text("tls.cipher", &value.to_string())),
            ("alpn", value) => attributes.push(text("tls.next_protocol", &value.to_string())),
            ("resumed", Value::Bool(value)) => {
                attributes.push(KeyValue::new("tls.resumed", value));
            }
            ("remote", Value::Addr(at)) => {
                attributes.push(text("network.peer.address", &at.ip().to_string()));
                attributes.push(number("network.peer.port", at.port()));
            }
            ("code", value) => failed = Some(value.to_string()),
            _ => {}
        });
        // It is over already: nothing is kept.
        let builder = SpanBuilder::from_name("tls handshake").with_attributes(attributes);
        let began = SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH);
        let span = self.start(builder.with_start_time(began), &Context::current());
        if let Some(code) = failed {
            span.span().set_attribute(text("error.type", &code));
            span.span().set_status(Status::error(code));
        }
        span.span().end();
    }
}

impl Connecting {
    fn note(&mut self, what: &'static str, attributes: Vec<KeyValue>) {
        if self.attempts.len() < MOST_ATTEMPTS {
            self.attempts.push((SystemTime::now(), what, attributes));
        }
    }
}

fn peer(of: &ConnectionInfo) -> Vec<KeyValue> {
    let Some(at) = of.remote else { return Vec::new() };
    let address = text("network.peer.address", &at.ip().to_string());
    vec![address, number("network.peer.port", at.port())]
}
