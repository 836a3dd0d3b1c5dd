//! [`TracingSpans`]: the same for the crate `tracing`, as spans around callbacks.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use tidegate_http::HttpEvent;
use tidegate_loop::{Event, Moment, Observer};
use tidegate_net::{NetEvent, SocketEvent, SocketKey};
use tracing::Span;
use tracing::span::EnteredSpan;

use crate::around::{Around, Attach};

impl Attach for Span {
    type Guard = EnteredSpan;

    fn attach(&self) -> EnteredSpan {
        self.clone().entered()
    }
}

/// An observer that enters a span of `tracing` around the callbacks of each connection, and of each
/// request that a server gets: what a callback logs, it logs inside. Events of the layers are
/// events of `tracing`, at the level `TRACE`.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_otel::TracingSpans;
/// let mut lp = Loop::new()?;
/// lp.observe(TracingSpans::new());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct TracingSpans {
    connections: HashMap<SocketKey, Span>,
    around: Around<Span>,
}

impl TracingSpans {
    /// Spans for the subscriber that is current when events happen.
    pub fn new() -> TracingSpans {
        TracingSpans::default()
    }

    fn on_net(&mut self, event: &NetEvent) {
        let NetEvent::Socket(of, event) = event else { return };
        let key = of.key;
        if event.is_last() {
            // Its `on_close`, which comes in this call, is still inside.
            self.connections.remove(&key);
            self.around.remove(key.into());
        } else if matches!(
            event,
            SocketEvent::Accepted | SocketEvent::Adopted | SocketEvent::AttemptStart { .. }
        ) && !self.connections.contains_key(&key)
        {
            let peer = of.remote.map(tracing::field::display);
            let span = tracing::info_span!("connection", conn = ?key, peer);
            self.around.set(key.into(), span.clone());
            self.connections.insert(key, span);
        }
    }

    fn on_http(&mut self, event: &HttpEvent) {
        match event {
            HttpEvent::Request { exchange, method, target, .. } => {
                let connection = self.connections.get(&exchange.socket()).cloned();
                let (number, path) = (exchange.number(), target.split('?').next());
                let parent = connection.unwrap_or_else(Span::none);
                let span = tracing::info_span!(parent: &parent, "request", number, method, path);
                self.around.set(exchange.socket().into(), span);
            }
            HttpEvent::Response { exchange, .. }
            | HttpEvent::Broken { exchange, .. }
            | HttpEvent::Upgraded { exchange, .. } => {
                let key = exchange.socket();
                match self.connections.get(&key) {
                    Some(connection) => self.around.later(key.into(), connection.clone()),
                    None => self.around.remove(key.into()),
                }
            }
            _ => {}
        }
    }
}

impl Observer for TracingSpans {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        match event {
            Event::Calling { key, .. } => self.around.calling(*key),
            Event::Called { .. } | Event::TurnEnd { .. } => self.around.leave(),
            Event::Layer(event) => {
                if let Some(event) = event.as_any().downcast_ref::<NetEvent>() {
                    self.on_net(event);
                } else if let Some(event) = event.as_any().downcast_ref::<HttpEvent>() {
                    self.on_http(event);
                }
                tracing::trace!(target: "tidegate", layer = event.layer(), "{event}");
            }
            _ => {}
        }
    }
}
