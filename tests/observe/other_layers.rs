//! Events of a layer that no observer knows: it names itself and its fields, and they are
//! written down.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use tidegate::observe::{JsonLines, LayerEvent, Perfetto, Timeline, Value};
use tidegate::prelude::*;

use super::scene::Memory;
use crate::support::*;

/// A request of a protocol that is not tidegate's.
#[derive(Debug)]
struct Answered {
    key: tidegate::Key,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("answered")
    }
}

impl LayerEvent for Answered {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn layer(&self) -> &'static str {
        "gopher"
    }

    fn name(&self) -> &'static str {
        "answer"
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        visit("conn", Value::Handle { kind: "socket", key: self.key });
        visit("path", "a\nb".into());
        visit("bytes", 17usize.into());
        visit("change", (-3i64).into());
        visit("last", true.into());
        visit("remote", std::net::SocketAddr::from(([192, 0, 2, 1], 70)).into());
        visit("type", Value::Text(&format_args!("{}", 1)));
        visit("took", Duration::from_micros(5).into());
    }
}

#[test]
fn json_trace_and_timeline_write_them_down() {
    let (json, trace, timeline) = (Memory::default(), Memory::default(), Timeline::new());
    let mut lp = guarded();
    let files = (JsonLines::new(json.clone()).without_loop(), Perfetto::new(trace.clone()));
    lp.observe((timeline.clone(), files));
    let key = lp.timer(Duration::ZERO, |_, _| {}).into();
    lp.cx().driver().emit(|| Answered { key });
    lp.run().unwrap();
    drop(lp);
    let line: serde_json::Value =
        serde_json::from_str(json.text().lines().next().unwrap()).unwrap();
    let id = tidegate::observe::Id::of("socket", key).to_string();
    let expected = serde_json::json!({
        "at_ns": line["at_ns"], "turn": 0, "phase": "outside", "layer": "gopher",
        "event": "answer", "conn": id, "path": "a\\nb", "bytes": 17, "change": -3, "last": true,
        "remote": "192.0.2.1:70", "type": "1", "took_ns": 5_000,
    });
    assert_eq!(line, expected);
    let trace: serde_json::Value = serde_json::from_str(&trace.text()).unwrap();
    let mark = trace.as_array().unwrap().iter().find(|e| e["name"] == "answer").unwrap();
    assert_eq!((mark["cat"].as_str(), mark["args"]["bytes"].as_u64()), (Some("gopher"), Some(17)));
    let steps = timeline.steps();
    let step = steps.iter().find(|s| s.stage == "answer").unwrap();
    assert!(step.text.contains("bytes 17 change -3 last true 192.0.2.1:70"), "{}", step.text);
}
