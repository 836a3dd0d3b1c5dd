//! [`State`]: the spans that have not ended, and whose they are.
#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::SystemTime;

use opentelemetry::trace::{SpanBuilder, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use tidegate_http::{ExchangeKey, RequestKey};
use tidegate_loop::Key;
use tidegate_net::SocketKey;

use crate::around::Around;

/// Bytes of a text in an attribute.
const MOST_TEXT: usize = 1024;

/// Starts a span; the context that has it.
pub(crate) type Start = Box<dyn Fn(SpanBuilder, &Context) -> Context>;

/// A request that a client made.
pub(crate) struct Outgoing {
    pub(crate) span: Context,
    /// In which context it was made; its callbacks run in that.
    pub(crate) parent: Context,
    pub(crate) resent: i64,
    /// Its connection, while it has one.
    pub(crate) socket: Option<SocketKey>,
}

/// A connection that is being made.
pub(crate) struct Connecting {
    pub(crate) parent: Context,
    pub(crate) began: SystemTime,
    pub(crate) name: Option<String>,
    pub(crate) attempts: Vec<(SystemTime, &'static str, Vec<KeyValue>)>,
}

pub(crate) struct State {
    start: Start,
    pub(crate) served: HashMap<ExchangeKey, Context>,
    pub(crate) sent: HashMap<RequestKey, Outgoing>,
    pub(crate) connecting: HashMap<SocketKey, Connecting>,
    /// Of connections that servers accepted.
    pub(crate) peers: HashMap<SocketKey, SocketAddr>,
    pub(crate) around: Around<Context>,
    /// Requests that are over; their last callback is still to come, in the closing phase.
    pub(crate) over: HashSet<Key>,
    /// Whether events come: else no span would end.
    pub(crate) observed: bool,
    /// Whether requests that come go on with the trace that they name.
    pub(crate) goes_on: bool,
    /// How many spans may be open.
    pub(crate) limit: usize,
    pub(crate) started: u64,
    pub(crate) left_out: u64,
}

impl State {
    pub(crate) fn new<T>(tracer: T) -> State
    where
        T: Tracer + 'static,
        T::Span: Send + Sync + 'static,
    {
        let start = move |builder: SpanBuilder, parent: &Context| {
            parent.with_span(tracer.build_with_context(builder, parent))
        };
        State {
            start: Box::new(start),
            served: HashMap::new(),
            sent: HashMap::new(),
            connecting: HashMap::new(),
            peers: HashMap::new(),
            around: Around::default(),
            over: HashSet::new(),
            observed: false,
            goes_on: true,
            limit: 65_536,
            started: 0,
            left_out: 0,
        }
    }

    /// The loop has dropped its observer: no event comes any more. Spans that are dropped end.
    pub(crate) fn end_all(&mut self) {
        self.observed = false;
        self.around = Around::default();
        self.served.clear();
        self.sent.clear();
        self.connecting.clear();
        self.peers.clear();
        self.over.clear();
    }

    /// How many spans are open.
    pub(crate) fn open(&self) -> usize {
        self.served.len() + self.sent.len() + self.connecting.len()
    }

    /// Whether another may be opened; else it is counted.
    pub(crate) fn has_room(&mut self) -> bool {
        let room = self.open() < self.limit;
        self.left_out += u64::from(!room);
        room
    }

    pub(crate) fn start(&mut self, builder: SpanBuilder, parent: &Context) -> Context {
        self.started += 1;
        (self.start)(builder, parent)
    }
}

/// An attribute of a text that others wrote: it is cut.
pub(crate) fn text(key: &'static str, value: &str) -> KeyValue {
    let mut end = value.len().min(MOST_TEXT);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    KeyValue::new(key, value[..end].to_owned())
}

pub(crate) fn number(key: &'static str, value: impl Into<i64>) -> KeyValue {
    KeyValue::new(key, value.into())
}

/// The names of methods that are known; others are no names of spans, since there are too many.
pub(crate) fn method(value: &str) -> (&'static str, Vec<KeyValue>) {
    let all =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
    match all.into_iter().find(|name| *name == value) {
        Some(name) => (name, vec![KeyValue::new("http.request.method", name)]),
        None => {
            let other = KeyValue::new("http.request.method", "_OTHER");
            ("HTTP", vec![other, text("http.request.method_original", value)])
        }
    }
}
