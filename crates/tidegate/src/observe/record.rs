//! [`Record`]: an event as a name and named values of few types, owned. Which fields an event has,
//! it says itself. How the ready-made observers write them, is in their files.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::observe::Id;
use tidegate_loop::{Event, Moment, OneLine, Value};

/// An event of any layer as plain data: when, which, and its fields by name. It is owned and
/// `Send`, so an observer can keep it, or give it to another thread, without a match over the
/// variants of every layer's events.
///
/// Names of events and fields do not change. Making one costs an allocation, and one more for each
/// text in it. An observer that wants few events asks [`Event::name`] first, which costs nothing.
///
/// ```
/// use std::sync::mpsc;
/// use tidegate::observe::{Event, Moment, Observer, Record};
/// use tidegate::prelude::*;
/// struct Failed(mpsc::Sender<Record>);
/// impl Observer for Failed {
///     fn event(&mut self, at: &Moment, event: &Event<'_>) {
///         if event.name() == "attempt failed" {
///             let _ = self.0.send(Record::new(at, event));
///         }
///     }
/// }
/// let (send, failed) = mpsc::channel();
/// let mut lp = Loop::new()?;
/// lp.observe(Failed(send));
/// lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
/// lp.run()?;
/// let record = failed.recv().unwrap();
/// assert_eq!((record.layer, record.name), ("net", "attempt failed"));
/// assert_eq!(record.get("to").and_then(|to| to.as_str()), Some("127.0.0.1:1"));
/// assert!(record.get("took").and_then(|took| took.as_duration()).is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Record {
    /// When.
    pub at: Moment,
    /// The layer: `loop`, `stream`, `net`, or what another layer calls itself.
    pub layer: &'static str,
    /// What happened, as `accept batch`.
    pub name: &'static str,
    /// The fields in the order of the event. A field without a value is left out.
    pub fields: Vec<(&'static str, FieldValue)>,
}

impl Record {
    /// The record of an event.
    pub fn new(at: &Moment, event: &Event<'_>) -> Record {
        let mut fields = Vec::new();
        event.fields(&mut |name, value| fields.push((name, FieldValue::new(value))));
        Record { at: *at, layer: event.layer(), name: event.name(), fields }
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// As they are written for machines: times in nanoseconds, under a name that ends in `_ns`;
    /// handles and addresses as texts.
    pub(super) fn into_plain(self) -> impl Iterator<Item = (Cow<'static, str>, Plain)> {
        self.fields.into_iter().map(|(name, value)| match value {
            FieldValue::Duration(v) => (format!("{name}_ns").into(), Plain::Uint(nanos(v))),
            FieldValue::U64(v) => (name.into(), Plain::Uint(v)),
            FieldValue::I64(v) => (name.into(), Plain::Int(v)),
            FieldValue::Bool(v) => (name.into(), Plain::Bool(v)),
            FieldValue::Text(v) => (name.into(), Plain::Text(v)),
            FieldValue::Handle(v) => (name.into(), Plain::Text(v.to_string())),
            FieldValue::Addr(v) => (name.into(), Plain::Text(v.to_string())),
        })
    }
}

/// Layer, name and fields on one line, as `net accept batch: server s1.3.1, accepted 4`.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", OneLine(self.layer), OneLine(self.name))?;
        for (n, (name, value)) in self.fields.iter().enumerate() {
            write!(f, "{} {name} {value}", if n == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// The value of a field of a [`Record`]. `Display` writes it for people, on one line.
///
/// ```
/// use std::time::Duration;
/// use tidegate::observe::FieldValue;
/// let took = FieldValue::Duration(Duration::from_millis(5));
/// assert_eq!((took.to_string(), took.as_u64()), ("5ms".to_owned(), None));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FieldValue {
    /// A number.
    U64(u64),
    /// A number that can be negative.
    I64(i64),
    /// Yes or no.
    Bool(bool),
    /// A text without line breaks: see [`OneLine`].
    Text(String),
    /// A time.
    Duration(Duration),
    /// A handle: a connection, a server, a task.
    Handle(Id),
    /// An address.
    Addr(SocketAddr),
}

impl FieldValue {
    fn new(value: Value<'_>) -> FieldValue {
        match value {
            Value::U64(v) => FieldValue::U64(v),
            Value::I64(v) => FieldValue::I64(v),
            Value::Bool(v) => FieldValue::Bool(v),
            Value::Duration(v) => FieldValue::Duration(v),
            Value::Handle { kind, key } => FieldValue::Handle(Id::of(kind, key)),
            Value::Addr(v) => FieldValue::Addr(v),
            // `Display` of a value writes texts on one line.
            other => FieldValue::Text(other.to_string()),
        }
    }

    /// The number, if it is one.
    pub fn as_u64(&self) -> Option<u64> {
        if let FieldValue::U64(v) = self { Some(*v) } else { None }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let FieldValue::Text(v) = self { Some(v) } else { None }
    }

    /// The time, if it is one.
    pub fn as_duration(&self) -> Option<Duration> {
        if let FieldValue::Duration(v) = self { Some(*v) } else { None }
    }

    /// The handle, if it is one.
    pub fn as_handle(&self) -> Option<Id> {
        if let FieldValue::Handle(v) = self { Some(*v) } else { None }
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldValue::U64(v) => v.fmt(f),
            FieldValue::I64(v) => v.fmt(f),
            FieldValue::Bool(v) => v.fmt(f),
            FieldValue::Text(v) => OneLine(v).fmt(f),
            FieldValue::Duration(v) => write!(f, "{v:?}"),
            FieldValue::Handle(v) => v.fmt(f),
            FieldValue::Addr(v) => v.fmt(f),
        }
    }
}

/// What the log, JSON and traces have types for.
#[derive(Debug)]
pub(super) enum Plain {
    Uint(u64),
    Int(i64),
    Bool(bool),
    /// Always on one line, so code that writes values need not check them.
    Text(String),
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
