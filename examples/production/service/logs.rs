//! Logs as JSON, one object a line, on standard error. A line that is written while a request is
//! served has the ids of its trace.

use std::io::Write;
use std::time::SystemTime;

use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::{Map, json};
use tidegate::observe::otel::opentelemetry::Context;
use tidegate::observe::otel::opentelemetry::trace::TraceContextExt;

struct Json;

struct Fields<'a>(&'a mut Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = match value.to_u64() {
            Some(number) => json!(number),
            None => json!(value.to_string()),
        };
        self.0.insert(key.to_string(), value);
        Ok(())
    }
}

impl Log for Json {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut line = Map::new();
        let _ = record.key_values().visit(&mut Fields(&mut line));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        line.insert("time".to_owned(), json!(now.as_secs_f64()));
        line.insert("level".to_owned(), json!(record.level().as_str()));
        line.insert("from".to_owned(), json!(record.target()));
        line.insert("message".to_owned(), json!(record.args().to_string()));
        Context::map_current(|cx| {
            let of = cx.span().span_context().clone();
            if of.is_valid() {
                line.insert("trace_id".to_owned(), json!(of.trace_id().to_string()));
                line.insert("span_id".to_owned(), json!(of.span_id().to_string()));
            }
        });
        let _ = writeln!(std::io::stderr(), "{}", serde_json::Value::Object(line));
    }

    fn flush(&self) {}
}

pub(crate) fn start() {
    if log::set_logger(&Json).is_ok() {
        let level = std::env::var("LOG").ok().and_then(|level| level.parse().ok());
        log::set_max_level(level.unwrap_or(LevelFilter::Info));
    }
}
