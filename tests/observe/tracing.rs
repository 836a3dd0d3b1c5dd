//! The bridge to the crate `tracing`: what a callback logs is inside of its connection and request.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Mutex;

use tidegate::http::Http;
use tidegate::observe::otel::TracingSpans;
use tidegate::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::*;

/// Notes each event of a user's with the spans around it.
#[derive(Default)]
struct Notes(Mutex<State>);

#[derive(Default)]
struct State {
    names: Vec<String>,
    entered: Vec<u64>,
    lines: Vec<String>,
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if ["message", "path", "number"].contains(&field.name()) {
            write!(self.0, " {value:?}").unwrap();
        }
    }
}

impl Subscriber for Notes {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut name = span.metadata().name().to_owned();
        span.record(&mut Text(&mut name));
        let mut state = self.0.lock().unwrap();
        state.names.push(name);
        Id::from_u64(state.names.len() as u64)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "tidegate" {
            return;
        }
        let mut line = String::new();
        event.record(&mut Text(&mut line));
        let mut state = self.0.lock().unwrap();
        let spans: Vec<_> =
            state.entered.iter().map(|id| &*state.names[*id as usize - 1]).collect();
        let line = format!("{} in {spans:?}", line.trim_start());
        state.lines.push(line);
    }
    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }
    fn exit(&self, span: &Id) {
        let left = self.0.lock().unwrap().entered.pop();
        assert_eq!(left, Some(span.into_u64()), "spans end in their order");
    }
}

#[test]
fn callbacks_log_inside_of_their_request() {
    let notes = std::sync::Arc::new(Notes::default());
    let dispatch = tracing::Dispatch::from(notes.clone());
    tracing::dispatcher::with_default(&dispatch, || {
        let mut lp = guarded();
        lp.observe(TracingSpans::new());
        let server = lp
            .http_listen("127.0.0.1:0", |head, x| {
                tracing::info!("asked");
                match head.path() {
                    "/panic" => std::panic::resume_unwind(Box::new(1)),
                    _ => x.reply(200, "x"),
                }
                tracing::info!("answered");
            })
            .unwrap();
        let at = lp.server(server).local_addr().unwrap();
        let got = Rc::new(RefCell::new(0));
        let n = got.clone();
        let on = On::new()
            .connect(|s| {
                tracing::info!("connected");
                let _ =
                    s.write("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
                s.next_tick(|_| tracing::info!("tick"));
                s.after(std::time::Duration::ZERO, |_| tracing::info!("timer"));
            })
            .data(move |s, _| {
                *n.borrow_mut() += 1;
                let _ = s.write("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
            })
            .close(|_, _| tracing::info!("closed"));
        lp.connect(at, on);
        let run = std::panic::AssertUnwindSafe(|| lp.run());
        assert!(std::panic::catch_unwind(run).is_err());
        lp.server(server).close().unwrap();
        lp.run().unwrap();
        tracing::info!("outside");
    });
    let lines = notes.0.lock().unwrap().lines.clone();
    let request = |n: u32, path: &str| format!("in [\"request {n} \\\"{path}\\\"\"]");
    let mut expected = vec![
        "connected in [\"connection\"]".to_owned(),
        "tick in [\"connection\"]".to_owned(),
        "timer in []".to_owned(),
    ];
    for (n, path) in [(1, "/a"), (2, "/b")] {
        expected.push(format!("asked {}", request(n, path)));
        expected.push(format!("answered {}", request(n, path)));
    }
    expected.push(format!("asked {}", request(3, "/panic")));
    expected.push("closed in [\"connection\"]".to_owned());
    expected.push("outside in []".to_owned());
    // When the timer comes is not what this is about.
    let (mut sorted, mut wanted) = (lines.clone(), expected);
    sorted.sort();
    wanted.sort();
    assert_eq!(sorted, wanted, "{lines:#?}");
}
