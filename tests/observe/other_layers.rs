//! Events of a layer that no observer knows: it names itself and its fields, and they are
//! written down.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tidegate::observe::{
    Event, FieldValue, JsonLines, LayerEvent, Moment, Observer, Perfetto, Record, Timeline, Value,
};
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

/// Keeps the records of one layer.
struct Keep(&'static str, Rc<RefCell<Vec<Record>>>);

impl Observer for Keep {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        if event.layer() == self.0 {
            self.1.borrow_mut().push(Record::new(at, event));
        }
    }
}

#[test]
fn a_record_has_every_field_with_its_type_and_can_go_to_another_thread() {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let mut lp = guarded();
    lp.observe(Keep("gopher", kept.clone()));
    let key = lp.timer(Duration::ZERO, |_, _| {}).into();
    lp.cx().driver().emit(|| Answered { key });
    lp.run().unwrap();
    let record = kept.take().pop().unwrap();
    let record = std::thread::spawn(move || record).join().unwrap();
    assert_eq!((record.at.turn, record.layer, record.name), (0, "gopher", "answer"));
    let id = tidegate::observe::Id::of("socket", key);
    let expected = [
        ("conn", FieldValue::Handle(id)),
        ("path", FieldValue::Text("a\\nb".into())),
        ("bytes", FieldValue::U64(17)),
        ("change", FieldValue::I64(-3)),
        ("last", FieldValue::Bool(true)),
        ("remote", FieldValue::Addr(([192, 0, 2, 1], 70).into())),
        ("type", FieldValue::Text("1".into())),
        ("took", FieldValue::Duration(Duration::from_micros(5))),
    ];
    assert_eq!(record.fields, expected);
    assert_eq!(record.get("bytes").and_then(FieldValue::as_u64), Some(17));
    assert_eq!(record.get("conn").and_then(FieldValue::as_handle), Some(id));
    assert_eq!(record.get("no such field"), None);
    let line = "path a\\nb, bytes 17, change -3, last true, remote 192.0.2.1:70, type 1, took 5µs";
    assert_eq!(record.to_string(), format!("gopher answer: conn {id}, {line}"));
}

#[test]
fn an_observer_of_records_sees_what_json_lines_write() {
    let (json, kept) = (Memory::default(), Rc::new(RefCell::new(Vec::new())));
    let mut lp = guarded();
    lp.observe((JsonLines::new(json.clone()).without_loop(), Keep("net", kept.clone())));
    super::scene::back_pressure(&mut lp);
    drop(lp);
    let kept = kept.take();
    let text = json.text();
    let lines = text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let lines: Vec<_> = lines.filter(|l| l["layer"] == "net").collect();
    assert!(!lines.is_empty());
    assert_eq!(lines.len(), kept.len());
    for (line, record) in lines.iter().zip(&kept) {
        assert_eq!(line["event"], record.name);
        // `at_ns`, `turn`, `phase`, `layer`, `event`, and the fields.
        assert_eq!(line.as_object().unwrap().len(), 5 + record.fields.len(), "{record}");
    }
}
