//! Texts that a peer, a filter, a file or a user made are shown on one line, everywhere: in
//! errors, events, log lines with their key-values, timelines, traces and metrics. Nothing in
//! them breaks a line, gives orders to a terminal or reorders what stands beside it.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use tidegate::WorkError;
use tidegate::net::{Endpoint, Filter, FilterError, Passed};
use tidegate::observe::{Event, LayerEvent};
use tidegate::observe::{JsonLines, LogRecords, Perfetto, Timeline};
use tidegate::prelude::*;
use tidegate::prometheus::Snapshot;
use tidegate::stream::{
    BoxError, PipeError, Progress, ReadableCx, ReadableOptions, Sink, Source, StreamError,
    WritableCx, WritableOptions,
};

use crate::logged::Logged;
use crate::support::*;

/// What somebody sends to hide something in a log: a line break, an order to clear the screen,
/// the same in one character of C1, a line separator, and a change of direction.
const BAD: &str = "bad\nFORGED\r\u{1b}[2J\u{9b}2J\u{2028}FORGED\u{202e}";
const SHOWN: &str = r"bad\nFORGED\r\u{1b}[2J\u{9b}2J\u{2028}FORGED\u{202e}";

fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[track_caller]
fn on_one_line(text: &str) {
    assert!(!text.contains(acts), "{text:?}");
    assert!(text.contains(SHOWN), "{text:?}");
}

/// Many lines, each of them whole.
#[track_caller]
fn in_lines(text: &str) {
    assert!(!text.contains(|c| c != '\n' && acts(c)), "{text:?}");
    assert!(text.lines().all(|l| !l.starts_with("FORGED")), "{text}");
    assert!(text.contains(SHOWN) || text.contains(&SHOWN.replace('\\', r"\\")), "{text}");
}

#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// Looks at all that is said of what happens in `run`: by every observer, and by the loop.
fn through_every_output(run: impl FnOnce(&mut Loop)) {
    let logged = Logged::begin();
    let (json, trace, timeline) = (Memory::default(), Memory::default(), Timeline::new());
    let mut lp = guarded();
    let files = (JsonLines::new(json.clone()), Perfetto::new(trace.clone()));
    lp.observe((LogRecords::new(), timeline.clone(), files));
    run(&mut lp);
    drop(lp);
    let lines = logged.take();
    assert!(lines.iter().any(|l| l.text.contains(SHOWN)), "{lines:#?}");
    assert!(lines.iter().any(|l| l.values.iter().any(|(_, v)| v.contains(SHOWN))), "{lines:#?}");
    for line in lines {
        assert!(!line.text.contains(acts), "{line:?}");
        assert!(!line.values.iter().any(|(_, v)| v.contains(acts)), "{line:?}");
    }
    in_lines(&timeline.to_string());
    assert!(timeline.steps().iter().all(|s| !s.text.contains(acts)), "{:?}", timeline.steps());
    in_lines(&json.text());
    in_lines(&trace.text());
}

struct Refuses;

impl Filter for Refuses {
    fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
        Err(BAD.into())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend_from_slice(user);
        Ok(user.len())
    }
}

#[test]
fn an_error_of_a_filter() {
    through_every_output(|lp| {
        let server = lp.listen("127.0.0.1:0", |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            // The default `on_close` warns.
            conn.accept(On::new()).set_filter(Refuses);
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let on = On::new().connect(|s| assert_eq!(s.write(b"x"), Flow::Ready));
        lp.connect(at, on.close(|_, _| {}));
        lp.run().unwrap();
    });
}

#[test]
fn a_name_and_what_its_lookup_says() {
    let told = Log::default();
    through_every_output(|lp| {
        let log = told.clone();
        let name = ConnectOptions::new((BAD, 80));
        let fails = |cx: &mut Cx<'_>, _: &str, answer: tidegate::net::LookupAnswer| {
            answer.give(cx, Err(io::Error::other(BAD)));
        };
        let on = On::new().close(move |_, close| log.add(close.to_string()));
        lp.connect(name.lookup(fails), on);
        lp.run().unwrap();
    });
    on_one_line(&told.lines()[0]);
}

#[cfg(unix)]
#[test]
fn a_path() {
    let name = format!("tidegate-\"q\"-\\b-{}-{BAD}", std::process::id());
    let path = std::env::temp_dir().join(name);
    through_every_output(|lp| {
        let server = lp.listen(ListenOptions::unix(&path), |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            conn.reject();
        });
        let server = server.unwrap();
        lp.walk().iter().for_each(|handle| assert!(!handle.to_string().contains(acts)));
        on_one_line(&Endpoint::Path(path.clone()).to_string());

        // A label's value: a backslash, a quote and a line break are escaped by the format.
        let metrics = Snapshot::take(lp).text();
        in_lines(&metrics);
        let line = metrics.lines().find(|l| l.starts_with("tidegate_server_accepted")).unwrap();
        assert!(line.contains(r#"tidegate-\"q\"-\\b-"#), "{line}");
        assert!(line.contains(&SHOWN.replace('\\', r"\\")), "{line}");

        let again = lp.listen(ListenOptions::unix(&path), |conn| conn.reject());
        on_one_line(&again.unwrap_err().to_string());
        lp.connect(ConnectOptions::unix(&path), On::new().close(|_, _| {}));
        lp.run().unwrap();
        let _ = server;
    });
}

struct Broken;

impl Source for Broken {
    fn read(&mut self, _: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        Err(BAD.into())
    }
}

struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _: &mut WritableCx<'_>, _: &[bytes::Bytes]) -> Result<Progress, BoxError> {
        Ok(Progress::Done)
    }
}

#[test]
fn an_error_of_a_stream_and_of_its_pipe() {
    let told = Log::default();
    through_every_output(|lp| {
        lp.open_readable(ReadableOptions::new(), Broken, ()).unwrap();
        let from = lp.open_readable(ReadableOptions::new(), Broken, ()).unwrap();
        let to = lp.open_writable(WritableOptions::new(), Nowhere, ()).unwrap();
        let log = told.clone();
        let done = move |_: &mut Cx<'_>, result: Result<(), PipeError>| {
            log.add(result.unwrap_err().to_string());
        };
        lp.pipe(from, to, done).unwrap();
        while told.lines().is_empty() {
            lp.run_once().unwrap();
        }
        lp.run().unwrap();
    });
    on_one_line(&told.lines()[0]);
    on_one_line(&StreamError::from(io::Error::other(BAD)).to_string());
}

/// An event of a layer that is not ours.
#[derive(Debug)]
struct Foreign;

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BAD)
    }
}

impl LayerEvent for Foreign {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[test]
fn an_event_of_another_layer() {
    through_every_output(|lp| {
        lp.cx().driver().emit(|| Foreign);
        // Perfetto shows none of these.
        let fails = |cx: &mut Cx<'_>, _: &str, answer: tidegate::net::LookupAnswer| {
            answer.give(cx, Err(io::Error::other(BAD)));
        };
        lp.connect(ConnectOptions::new(("name", 80)).lookup(fails), On::new().close(|_, _| {}));
        lp.run().unwrap();
    });
    on_one_line(&Event::Layer(&Foreign).to_string());
}

#[test]
fn a_panic_of_a_job_and_the_name_of_what_keeps_a_loop_alive() {
    on_one_line(&WorkError::clone(&panicked()).to_string());
    let mut lp = guarded();
    let kept = lp.keep_alive(BAD).unwrap();
    let why = lp.why_alive();
    assert_eq!(why.len(), 1);
    on_one_line(&why[0].to_string());
    drop(kept);
    lp.run().unwrap();
}

fn panicked() -> WorkError {
    let mut lp = guarded();
    let told = Rc::new(RefCell::new(None));
    let tell = told.clone();
    let job = || std::panic::resume_unwind(Box::new(BAD));
    let done = move |_: &mut Cx<'_>, result: Result<(), WorkError>| {
        *tell.borrow_mut() = result.err();
    };
    lp.work(job, done).unwrap();
    lp.run().unwrap();
    told.take().unwrap()
}

/// A writer with its own error text.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other(BAD))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_file_of_an_observer() {
    let logged = Logged::begin();
    let mut lp = guarded();
    lp.observe(JsonLines::new(Full));
    lp.timer(std::time::Duration::ZERO, |_, _| {});
    lp.run().unwrap();
    drop(lp);
    let lines = logged.warnings();
    assert_eq!(lines.len(), 1, "{lines:?}");
    on_one_line(&lines[0].text);
}
