//! An event as a name and named values: what the log, the JSON and the trace share.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::net::{
    ConnectionInfo, NetError, NetEvent, Overload, Reason, ServerEvent, ServerInfo, SocketEvent,
};
use crate::observe::Id;
use crate::stream::{PipeError, PipeEvent, StreamEvent};
use tidegate_loop::{Event, OneLine};

#[derive(Clone, Debug)]
pub(super) enum Value {
    Uint(u64),
    Bool(bool),
    Text(String),
}

impl From<u64> for Value {
    fn from(v: u64) -> Value {
        Value::Uint(v)
    }
}

impl From<usize> for Value {
    fn from(v: usize) -> Value {
        Value::Uint(v as u64)
    }
}

impl From<u32> for Value {
    fn from(v: u32) -> Value {
        Value::Uint(v.into())
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Value {
        Value::Bool(v)
    }
}

/// Nanoseconds.
impl From<Duration> for Value {
    fn from(v: Duration) -> Value {
        Value::Uint(u64::try_from(v.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Always on one line, so code that writes values need not check them.
impl From<&str> for Value {
    fn from(v: &str) -> Value {
        Value::text(v)
    }
}

impl Value {
    fn text(v: impl fmt::Display) -> Value {
        Value::Text(OneLine(v).to_string())
    }
}

/// An event, taken apart. The names of its values are those of the types' fields; times end
/// in `_ns`.
#[derive(Debug)]
pub(super) struct Fields {
    /// The layer: `loop`, `stream`, `net`, or `other`.
    pub(super) layer: &'static str,
    pub(super) name: &'static str,
    pub(super) values: Vec<(&'static str, Value)>,
}

impl Fields {
    pub(super) fn new(event: &Event<'_>) -> Fields {
        match event {
            Event::Layer(e) => {
                let any = e.as_any();
                if let Some(e) = any.downcast_ref::<NetEvent>() {
                    return net(e);
                }
                if let Some(e) = any.downcast_ref::<StreamEvent>() {
                    return stream(e);
                }
                Fields::of("other", "event").with_text("text", e)
            }
            _ => of_loop(event),
        }
    }

    fn of(layer: &'static str, name: &'static str) -> Fields {
        Fields { layer, name, values: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Fields {
        self.values.push((name, value.into()));
        self
    }

    fn with_text(mut self, name: &'static str, value: impl fmt::Display) -> Fields {
        self.values.push((name, Value::text(value)));
        self
    }

    fn with_some(self, name: &'static str, value: Option<impl fmt::Display>) -> Fields {
        match value {
            Some(value) => self.with_text(name, value),
            None => self,
        }
    }
}

fn of_loop(event: &Event<'_>) -> Fields {
    let named = |name| Fields::of("loop", name);
    match event {
        Event::Turn { ready } => named("turn").with("ready", *ready),
        Event::TurnEnd { took } => named("turn end").with("took_ns", *took),
        Event::Poll { timeout, ready } => {
            let poll = named("poll").with("ready", *ready);
            match timeout {
                Some(timeout) => poll.with("timeout_ns", *timeout),
                None => poll,
            }
        }
        Event::Polled { events, waited, ready } => {
            named("polled").with("events", *events).with("waited_ns", *waited).with("ready", *ready)
        }
        Event::PhaseEnd { phase, took } => {
            named("phase end").with_text("of", phase).with("took_ns", *took)
        }
        Event::Ready { key, kind, bits } => named("ready")
            .with_text("handle", Id::of(kind, *key))
            .with("kind", *kind)
            .with_text("bits", format_args!("{bits:?}")),
        Event::Called { key, kind, took } => named("called")
            .with_text("handle", Id::of(kind, *key))
            .with("kind", *kind)
            .with("took_ns", *took),
        other => named("event").with_text("text", other),
    }
}

fn stream(event: &StreamEvent) -> Fields {
    match event {
        StreamEvent::Pipe(key, event) => {
            let fields = Fields::of("stream", event.name()).with_text("pipe", Id::pipe(*key));
            match event {
                PipeEvent::Failing(e) | PipeEvent::Closed(Err(e)) => pipe_error(fields, e),
                _ => fields,
            }
        }
        other => Fields::of("stream", "event").with_text("text", other),
    }
}

fn pipe_error(fields: Fields, e: &PipeError) -> Fields {
    fields.with_text("error", e)
}

fn net(event: &NetEvent) -> Fields {
    match event {
        NetEvent::Server(of, event) => server(of, event),
        NetEvent::Socket(of, event) => socket(of, event),
        other => Fields::of("net", "event").with_text("text", other),
    }
}

fn server(of: &ServerInfo, event: &ServerEvent) -> Fields {
    let fields = Fields::of("net", event.name())
        .with_text("server", Id::server(of.key))
        .with_text("local", &of.local);
    match event {
        ServerEvent::AcceptBatch { accepted, stopped } => {
            fields.with("accepted", *accepted).with_text("stopped", stopped)
        }
        ServerEvent::Overload(Overload::MaxConnections { peer, dropped }) => {
            fields.with_some("remote", *peer).with("dropped", *dropped)
        }
        ServerEvent::Overload(Overload::Shed { connections }) => {
            fields.with("connections", *connections)
        }
        ServerEvent::Full { connections } => fields.with("connections", *connections),
        ServerEvent::Blocked { peer } => fields.with_some("remote", *peer),
        ServerEvent::AcceptFailed { error, code } => {
            fields.with("error", error.as_str()).with_some("code", *code)
        }
        _ => fields,
    }
}

fn socket(of: &ConnectionInfo, event: &SocketEvent) -> Fields {
    let fields = Fields::of("net", event.name())
        .with_text("conn", Id::connection(of.key))
        .with_some("server", of.server.map(Id::server))
        .with_some("local", of.local)
        .with_some("remote", of.remote);
    match event {
        SocketEvent::LookupStart { host } => fields.with("host", host.as_str()),
        SocketEvent::LookedUp { addresses, left_out, took } => {
            let all: Vec<String> = addresses.iter().map(|a| a.to_string()).collect();
            let left_out = (*left_out > 0).then_some(*left_out);
            fields
                .with_text("addresses", all.join(" "))
                .with_some("left_out", left_out)
                .with("took_ns", *took)
        }
        SocketEvent::LookupFailed { error, code, took } => {
            fields.with("error", error.as_str()).with_some("code", *code).with("took_ns", *took)
        }
        SocketEvent::AttemptStart { to } => fields.with_text("to", to),
        SocketEvent::AttemptFailed(attempt) => fields
            .with_text("to", attempt.remote)
            .with_text("stage", attempt.stage)
            .with_some("code", attempt.code())
            .with_text("error", &attempt.error)
            .with("took_ns", attempt.elapsed),
        SocketEvent::Connected { elapsed } => fields.with("elapsed_ns", *elapsed),
        SocketEvent::FirstRead { bytes }
        | SocketEvent::FirstWritten { bytes }
        | SocketEvent::Queued { bytes } => fields.with("bytes", *bytes),
        SocketEvent::Full { queued } => fields.with("queued", *queued),
        SocketEvent::PipedInto { pipe } | SocketEvent::PipedFrom { pipe } => {
            fields.with_text("pipe", Id::pipe(*pipe))
        }
        SocketEvent::Reset { by_peer } => fields.with("by_peer", *by_peer),
        SocketEvent::TimedOut(which) => fields.with_text("which", which),
        SocketEvent::Closed { reason, unsent, bytes_read, bytes_written, elapsed } => {
            let fields = fields.with("reason", short(reason));
            let fields = match reason.error() {
                Some(e) => place(fields, e),
                None if reason.is_error() => fields.with_text("error", reason),
                None => fields,
            };
            fields
                .with("unsent", *unsent)
                .with("bytes_read", *bytes_read)
                .with("bytes_written", *bytes_written)
                .with("elapsed_ns", *elapsed)
        }
        _ => fields,
    }
}

/// Where on the path it failed.
fn place(fields: Fields, e: &NetError) -> Fields {
    let code = match (e.code(), e.timeout()) {
        (Some(code), _) => code.to_owned(),
        (None, Some(_)) => "ETIMEDOUT".to_owned(),
        (None, None) => format!("{:?}", e.kind()),
    };
    fields
        .with_text("stage", e.stage())
        .with_text("code", code)
        .with_some("deadline", e.timeout())
        .with_some("name", e.name())
        .with_text("error", e)
}

fn short(reason: &Reason) -> &'static str {
    match reason {
        Reason::Ended => "ended",
        Reason::Destroyed => "destroyed",
        Reason::Failed(_) => "failed",
        Reason::WriteLimit { .. } => "write limit",
        Reason::TimedOut(..) => "timed out",
        Reason::Piped(_) => "piped",
        Reason::Panicked => "panicked",
        _ => "other",
    }
}
