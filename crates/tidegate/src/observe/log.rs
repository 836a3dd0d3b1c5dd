//! Events as records of the `log` crate.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use log::kv::{Error, Key, Source, VisitSource};
use log::{Level, Record};

use super::Id;
use super::record::{self, Plain};
use crate::net::{BatchEnd, ConnectionInfo, NetEvent, ServerEvent, SocketEvent, UdpEvent};
use crate::stream::{PipeEvent, StreamEvent};
use tidegate_loop::{Event, Moment, Observer, OneLine};

/// Gives every event to the `log` crate: a line for people, and key-values for machines.
///
/// The target is `tidegate::` and the layer: `loop`, `stream`, `net`, or the name that another
/// layer's events give it; `tidegate` if they give none.
///
/// | level | what |
/// |---|---|
/// | warn | a call that took long: nothing else ran meanwhile |
/// | info | a server listens, ends; a connection, a pipe or an accept fails |
/// | debug | the life of servers, connections and pipes |
/// | trace | turns, phases, readiness, accept batches, every change of a queue |
///
/// Foreign texts, in lines and in values, go through [`OneLine`]: they cannot start a new line.
///
/// Failures are only `info` here, because an error that no code handles is logged at `warn` with
/// the same target anyway, also without an observer, and says `unhandled` (of each kind the first,
/// then one at each power of two); [`failures`](LogRecords::failures) changes that. A line of a
/// connection begins with its [`Id`] and its endpoints, ours first.
///
/// ```
/// use tidegate::observe::LogRecords;
/// use tidegate::prelude::*;
/// let mut lp = Loop::new()?;
/// lp.observe(LogRecords::new());
/// lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogRecords {
    failures: Level,
    slow: Duration,
}

impl Default for LogRecords {
    fn default() -> LogRecords {
        LogRecords::new()
    }
}

impl LogRecords {
    /// With the levels above; a call is slow from 100 ms on.
    pub fn new() -> LogRecords {
        LogRecords { failures: Level::Info, slow: Duration::from_millis(100) }
    }

    /// The level of connections, pipes and accepts that fail.
    pub fn failures(mut self, level: Level) -> LogRecords {
        self.failures = level;
        self
    }

    /// From how long on a call is worth a warning.
    pub fn slow_call(mut self, from: Duration) -> LogRecords {
        self.slow = from;
        self
    }

    fn level(&self, event: &Event<'_>) -> Level {
        match event {
            Event::Called { took, .. } if *took >= self.slow => Level::Warn,
            Event::Layer(e) => {
                let any = e.as_any();
                match (any.downcast_ref(), any.downcast_ref()) {
                    (Some(e), _) => self.net(e),
                    (_, Some(StreamEvent::Pipe(_, PipeEvent::Closed(Err(_))))) => self.failures,
                    _ => Level::Debug,
                }
            }
            _ => Level::Trace,
        }
    }

    fn net(&self, event: &NetEvent) -> Level {
        match event {
            NetEvent::Server(_, e) => match e {
                ServerEvent::Listening | ServerEvent::Closing | ServerEvent::Closed => Level::Info,
                ServerEvent::AcceptBatch { stopped, .. } if *stopped != BatchEnd::Budget => {
                    Level::Trace
                }
                ServerEvent::AcceptFailed { .. } => self.failures,
                _ => Level::Debug,
            },
            NetEvent::Socket(_, e) => match e {
                SocketEvent::Closed { reason, .. } if reason.is_error() => self.failures,
                SocketEvent::Queued { .. } => Level::Trace,
                _ => Level::Debug,
            },
            NetEvent::Udp(_, e) => match e {
                UdpEvent::Closed { reason, .. } if reason.is_error() => self.failures,
                UdpEvent::SendFailed { .. } | UdpEvent::TransportError { .. } => self.failures,
                UdpEvent::Received { .. } | UdpEvent::Sent { .. } => Level::Trace,
                _ => Level::Debug,
            },
            _ => Level::Debug,
        }
    }
}

impl Observer for LogRecords {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        let level = self.level(event);
        if level > log::max_level() {
            return;
        }
        let record = record::Record::new(at, event);
        let target = match record.layer {
            "other" => "tidegate".to_owned(),
            layer => format!("tidegate::{layer}"),
        };
        let metadata = log::Metadata::builder().level(level).target(&target).build();
        let logger = log::logger();
        if !logger.enabled(&metadata) {
            return;
        }
        let pairs = Pairs::new(record);
        logger.log(
            &Record::builder()
                .metadata(metadata)
                .args(format_args!("{}", OneLine(Line(event))))
                .key_values(&pairs)
                .build(),
        );
    }
}

/// What a person reads: who, and what happened.
pub(super) struct Line<'a>(pub(super) &'a Event<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event::Layer(e) = self.0 else { return self.0.fmt(f) };
        match e.as_any().downcast_ref() {
            Some(NetEvent::Server(s, event)) => {
                write!(f, "{} on {}: {event}", Id::server(s.key), s.local)
            }
            Some(NetEvent::Socket(c, event)) => write!(f, "{}: {event}", Ends(c)),
            Some(NetEvent::Udp(u, event)) => match u.local {
                Some(local) => write!(f, "{} on {local}: {event}", Id::udp(u.key)),
                None => write!(f, "{}: {event}", Id::udp(u.key)),
            },
            _ => match e.as_any().downcast_ref() {
                Some(StreamEvent::Pipe(key, _)) => write!(f, "{} {e}", Id::pipe(*key)),
                _ => e.fmt(f),
            },
        }
    }
}

/// A connection with its endpoints, ours first: `->` of a client's, `<-` of a server's.
struct Ends<'a>(&'a ConnectionInfo);

impl fmt::Display for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.0;
        write!(f, "{}", Id::connection(c.key))?;
        if let Some(local) = c.local {
            write!(f, " {local}")?;
        }
        match (c.remote, c.server) {
            (Some(remote), None) => write!(f, " -> {remote}"),
            (Some(remote), Some(_)) => write!(f, " <- {remote}"),
            (None, _) => Ok(()),
        }
    }
}

/// The key-values of a record.
struct Pairs {
    at: Moment,
    event: &'static str,
    values: Vec<(Cow<'static, str>, Plain)>,
}

impl Pairs {
    fn new(record: record::Record) -> Pairs {
        let (at, event) = (record.at, record.name);
        Pairs { at, event, values: record.into_plain().collect() }
    }
}

impl Source for Pairs {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        let elapsed = u64::try_from(self.at.elapsed.as_nanos()).unwrap_or(u64::MAX);
        visitor.visit_pair(Key::from_str("event"), self.event.into())?;
        visitor.visit_pair(Key::from_str("at_ns"), elapsed.into())?;
        visitor.visit_pair(Key::from_str("turn"), self.at.turn.into())?;
        for (name, value) in &self.values {
            let name: &str = name;
            let value = match value {
                Plain::Uint(v) => (*v).into(),
                Plain::Int(v) => (*v).into(),
                Plain::Bool(v) => (*v).into(),
                Plain::Text(v) => v.as_str().into(),
            };
            visitor.visit_pair(Key::from_str(name), value)?;
        }
        Ok(())
    }
}
