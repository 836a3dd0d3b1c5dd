//! An event as a name and named values of few types: what the log, the JSON and the trace share.
//! Which fields an event has, it says itself; here is how they are written.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;

use crate::observe::Id;
use tidegate_loop::{Event, OneLine, Value as Shown};

#[derive(Clone, Debug)]
pub(super) enum Value {
    Uint(u64),
    Int(i64),
    Bool(bool),
    /// Always on one line, so code that writes values need not check them.
    Text(String),
}

impl Value {
    fn text(v: impl fmt::Display) -> Value {
        Value::Text(OneLine(v).to_string())
    }
}

/// An event, taken apart. The names of its values are those of its fields; times end in `_ns`.
#[derive(Debug)]
pub(super) struct Fields {
    /// The layer: `loop`, `stream`, `net`, or another's name for itself.
    pub(super) layer: &'static str,
    pub(super) name: &'static str,
    pub(super) values: Vec<(Cow<'static, str>, Value)>,
}

impl Fields {
    pub(super) fn new(event: &Event<'_>) -> Fields {
        let mut values = Vec::new();
        event.fields(&mut |name, value| values.push(written(name, value)));
        Fields { layer: event.layer(), name: event.name(), values }
    }
}

fn written(name: &'static str, value: Shown<'_>) -> (Cow<'static, str>, Value) {
    let value = match value {
        Shown::Duration(v) => {
            let nanos = u64::try_from(v.as_nanos()).unwrap_or(u64::MAX);
            return (format!("{name}_ns").into(), Value::Uint(nanos));
        }
        Shown::U64(v) => Value::Uint(v),
        Shown::I64(v) => Value::Int(v),
        Shown::Bool(v) => Value::Bool(v),
        Shown::Handle { kind, key } => Value::text(Id::of(kind, key)),
        other => Value::text(other),
    };
    (name.into(), value)
}
