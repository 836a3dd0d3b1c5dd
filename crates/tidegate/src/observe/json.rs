//! Events as JSON lines.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, json};

use super::file::{Lines, Written};
use super::record::{Plain, Record};
use tidegate_loop::{Event, Moment, Observer};

/// Writes one JSON object for each event, each on one line.
///
/// Every object has `at_ns` (since the loop was made), `turn`, `phase`, `layer` and `event`;
/// those of a connection have `conn`, its [`Id`](super::Id), in every line, and `local` and
/// `remote` once they are known. Times end in `_ns`. When a turn is over its lines are in the
/// file, so `tail -f` follows. A file takes up to 1 GiB, see [`limit`](JsonLines::limit).
///
/// ```
/// use tidegate::observe::JsonLines;
/// use tidegate::prelude::*;
/// let path = std::env::temp_dir().join(format!("tidegate-doc-{}.jsonl", std::process::id()));
/// let mut lp = Loop::new()?;
/// lp.observe(JsonLines::create(&path)?.without_loop());
/// lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
/// lp.run()?;
/// drop(lp);
/// let lines = std::fs::read_to_string(&path)?;
/// assert!(lines.lines().last().unwrap().contains("\"code\":\"ECONNREFUSED\""));
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct JsonLines {
    lines: Lines,
    with_loop: bool,
}

impl JsonLines {
    /// Writes to a new file, which replaces an existing one.
    pub fn create(path: impl AsRef<Path>) -> io::Result<JsonLines> {
        Ok(JsonLines::new(File::create(path)?))
    }

    /// Writes to any writer, at the end of each turn with events, and in pieces of about 64 KiB at
    /// most.
    pub fn new(to: impl Write + 'static) -> JsonLines {
        JsonLines { lines: Lines::new(to), with_loop: true }
    }

    /// Writes only events of servers, connections and pipes, without turns, phases and readiness.
    pub fn without_loop(mut self) -> JsonLines {
        self.with_loop = false;
        self
    }

    /// How many bytes are written at most.
    pub fn limit(mut self, bytes: u64) -> JsonLines {
        self.lines.limit = bytes;
        self
    }

    /// The state of the file.
    pub fn written(&self) -> Written {
        self.lines.written.clone()
    }
}

impl Observer for JsonLines {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        let written = match event {
            Event::Layer(_) => true,
            // `Called` says it all.
            Event::Calling { .. } => false,
            _ => self.with_loop,
        };
        if written {
            self.write(Record::new(at, event));
        }
        if let Event::TurnEnd { .. } = event {
            self.lines.turn_is_over();
        }
    }
}

impl JsonLines {
    #[inline(never)]
    fn write(&mut self, record: Record) {
        let at = record.at;
        let mut object = Map::new();
        let elapsed = u64::try_from(at.elapsed.as_nanos()).unwrap_or(u64::MAX);
        object.insert("at_ns".into(), elapsed.into());
        object.insert("turn".into(), at.turn.into());
        object.insert("phase".into(), at.phase.name().into());
        object.insert("layer".into(), record.layer.into());
        object.insert("event".into(), record.name.into());
        for (name, value) in record.into_plain() {
            object.insert(name.into(), to_json(value));
        }
        self.lines.line(|out| {
            serde_json::to_writer(&mut *out, &object)?;
            out.push(b'\n');
            Ok(())
        });
    }
}

pub(super) fn to_json(value: Plain) -> serde_json::Value {
    match value {
        Plain::Uint(v) => json!(v),
        Plain::Int(v) => json!(v),
        Plain::Bool(v) => json!(v),
        Plain::Text(v) => v.into(),
    }
}

impl Drop for JsonLines {
    fn drop(&mut self) {
        self.lines.last("");
    }
}
