//! Events as a trace file that ui.perfetto.dev and chrome://tracing open.
//!
//! The format is Chrome's trace events, as an array of JSON objects, which is complete
//! also without its last bracket: a program that ends early leaves a file that opens.
//!
//! | track | what |
//! |---|---|
//! | loop / turns | slices in each other: turn, phase, wait or call, poll of a task |
//! | connections / one each | slices: lookup, connecting, open, requests of HTTP; marks for all else |
//! | connections / one each, reading and writing | slices: paused; full |
//! | counters | handles queued, connections, bytes in all queues and in each |
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Id;
use super::file::{Lines, Written};
use super::json::to_json;
use super::record::Record;
use crate::net::{ConnectionInfo, NetEvent, SocketEvent};
use crate::stream::StreamEvent;
use tidegate_loop::{Event, Key, LayerEvent, Moment, Observer, OneLine, Value as Shown};

/// The two groups of tracks.
const LOOP: u32 = 1;
const CONNECTIONS: u32 = 2;

/// Writes a trace file for <https://ui.perfetto.dev>: turns and phases as nested slices, each
/// connection as a track with its stages, buffered bytes as counters.
///
/// Times are those of the loop's clock, in microseconds, and include the time of the observer
/// itself. The file is complete when the loop is dropped. Before that it has all finished turns,
/// and you can open it while the program runs, or after the program was killed. It takes up to 1
/// GiB, see [`limit`](Perfetto::limit).
///
/// ```
/// use tidegate::observe::Perfetto;
/// use tidegate::prelude::*;
/// let path = std::env::temp_dir().join(format!("tidegate-doc-{}.json", std::process::id()));
/// let mut lp = Loop::new()?;
/// let trace = Perfetto::create(&path)?;
/// let written = trace.written();
/// lp.observe(trace);
/// lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
/// lp.run()?;
/// drop(lp);
/// written.check()?;
/// println!("open {} in https://ui.perfetto.dev", path.display());
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Perfetto {
    lines: Lines,
    begun: bool,
    /// The last moment, in nanoseconds.
    now: u64,
    /// When the kernel was asked.
    asked: u64,
    tracks: HashMap<Key, Track>,
    next_track: u32,
    /// Bytes in all queues.
    queued: usize,
}

/// What is known of a connection's tracks: the life, and two more when they are needed.
struct Track {
    tid: u32,
    name: String,
    /// The stage that is open on the first.
    stage: Option<&'static str>,
    /// A request is open inside of it.
    request: bool,
    paused: bool,
    full: bool,
    /// The tracks for reading and writing have their names.
    reads: bool,
    writes: bool,
    queued: usize,
}

impl Track {
    const READING: u32 = 1;
    const WRITING: u32 = 2;
    const STEP: u32 = 3;
}

impl Perfetto {
    /// Writes to a new file, which replaces an existing one.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Perfetto> {
        Ok(Perfetto::new(File::create(path)?))
    }

    /// Writes to any writer, at the end of each turn, and in pieces of about 64 KiB at most.
    pub fn new(to: impl Write + 'static) -> Perfetto {
        let mut perfetto = Perfetto {
            lines: Lines::new(to),
            begun: false,
            now: 0,
            asked: 0,
            tracks: HashMap::new(),
            next_track: 1,
            queued: 0,
        };
        perfetto.name(LOOP, 0, "process_name", "tidegate loop");
        perfetto.name(LOOP, 1, "thread_name", "turns");
        perfetto.name(CONNECTIONS, 0, "process_name", "connections");
        perfetto
    }

    /// How many bytes are written at most, apart from the end of the file.
    pub fn limit(mut self, bytes: u64) -> Perfetto {
        self.lines.limit = bytes;
        self
    }

    /// The state of the file.
    pub fn written(&self) -> Written {
        self.lines.written.clone()
    }

    fn put(&mut self, event: Value) {
        let first = !self.begun;
        let taken = self.lines.line(|out| {
            out.extend_from_slice(if first { b"[\n" } else { b",\n" });
            Ok(serde_json::to_writer(out, &event)?)
        });
        self.begun |= taken;
    }

    fn name(&mut self, pid: u32, tid: u32, what: &str, name: &str) {
        let args = json!({ "name": name });
        self.put(json!({ "ph": "M", "pid": pid, "tid": tid, "name": what, "args": args }));
    }

    /// A slice that is over.
    fn slice(&mut self, name: &str, cat: &str, from: u64, args: Value) {
        let dur = micros(self.now.saturating_sub(from));
        let ts = micros(from);
        self.put(json!({
            "ph": "X", "pid": LOOP, "tid": 1, "ts": ts, "dur": dur,
            "name": name, "cat": cat, "args": args,
        }));
    }

    fn begin(&mut self, tid: u32, name: &str) {
        let ts = micros(self.now);
        self.put(json!({
            "ph": "B", "pid": CONNECTIONS, "tid": tid, "ts": ts,
            "name": name, "cat": "connection",
        }));
    }

    fn end(&mut self, tid: u32) {
        let ts = micros(self.now);
        self.put(json!({ "ph": "E", "pid": CONNECTIONS, "tid": tid, "ts": ts }));
    }

    fn mark(&mut self, pid: u32, tid: u32, record: Record, layer: &str) {
        let name = record.name;
        let args: Map<_, _> =
            record.into_plain().map(|(k, v)| (k.into_owned(), to_json(v))).collect();
        let ts = micros(self.now);
        self.put(json!({
            "ph": "i", "s": "t", "pid": pid, "tid": tid, "ts": ts,
            "name": name, "cat": layer, "args": args,
        }));
    }

    fn counter(&mut self, pid: u32, name: &str, value: usize) {
        let ts = micros(self.now);
        let args = json!({ "value": value });
        self.put(json!({ "ph": "C", "pid": pid, "ts": ts, "name": name, "args": args }));
    }

    fn of_loop(&mut self, at: &Moment, event: &Event<'_>) {
        let began = |took: &std::time::Duration| nanos(at.elapsed.saturating_sub(*took));
        match event {
            Event::Turn { ready } => self.counter(LOOP, "handles queued", *ready),
            Event::TurnEnd { took } => {
                let name = format!("turn {}", at.turn);
                self.slice(&name, "turn", began(took), json!({ "turn": at.turn }));
            }
            Event::Poll { .. } => self.asked = self.now,
            Event::Polled { events, ready, .. } => {
                self.slice("wait", "poll", self.asked, json!({ "events": events }));
                self.counter(LOOP, "handles queued", *ready);
            }
            Event::PhaseEnd { phase, took } => {
                self.slice(phase.name(), "phase", began(took), json!({ "turn": at.turn }));
            }
            Event::Called { key, kind, took } => {
                let id = Id::of(kind, *key).to_string();
                let name = format!("{kind} {id}");
                self.slice(&name, "call", began(took), json!({ "handle": id }));
            }
            _ => {}
        }
    }

    /// The poll of a task: a slice in the call in which it came. Whether it is one.
    #[cfg(feature = "async")]
    fn polled(&mut self, at: &Moment, event: Option<&tidegate_async::TaskEvent>) -> bool {
        use tidegate_async::TaskEvent;
        let Some(TaskEvent::Polled { task, took, ready, .. }) = event else { return false };
        let began = nanos(at.elapsed.saturating_sub(*took));
        let args = json!({ "task": Id::of("task", task.key.into()).to_string(), "ready": ready });
        self.slice(&format!("poll {task}"), "poll of a task", began, args);
        true
    }

    fn socket(&mut self, of: &ConnectionInfo, event: &SocketEvent, record: Record) {
        let key = of.key.into();
        if !self.tracks.contains_key(&key) {
            self.new_track(of, event);
        }
        let Some(mut track) = self.tracks.remove(&key) else { return };
        let tid = track.tid;
        match event {
            SocketEvent::LookupStart { .. } => self.stage(&mut track, Some("lookup")),
            SocketEvent::AttemptStart { .. } => self.stage(&mut track, Some("connecting")),
            SocketEvent::Accepted | SocketEvent::Adopted | SocketEvent::Connected { .. } => {
                self.stage(&mut track, Some("open"));
            }
            SocketEvent::LookedUp { .. } | SocketEvent::LookupFailed { .. } => {
                self.stage(&mut track, None);
            }
            SocketEvent::Pause => {
                self.side(&mut track, Track::READING, true);
            }
            SocketEvent::Resume => self.side(&mut track, Track::READING, false),
            SocketEvent::Full { .. } => self.side(&mut track, Track::WRITING, true),
            SocketEvent::Drain => self.side(&mut track, Track::WRITING, false),
            _ => {}
        }
        match event {
            SocketEvent::Queued { bytes } => self.queue(&mut track, *bytes),
            SocketEvent::Full { queued } => self.queue(&mut track, *queued),
            _ => self.mark(CONNECTIONS, tid, record, "net"),
        }
        if event.is_last() {
            self.close(track);
            self.counter(CONNECTIONS, "connections", self.tracks.len());
        } else {
            self.tracks.insert(key, track);
        }
    }

    fn new_track(&mut self, of: &ConnectionInfo, event: &SocketEvent) {
        let id = Id::connection(of.key);
        let name = match (event, of.server, of.remote) {
            (SocketEvent::LookupStart { host }, ..) => format!("{id} client to {}", OneLine(host)),
            (SocketEvent::AttemptStart { to }, ..) => format!("{id} client to {to}"),
            (_, Some(server), Some(remote)) => {
                format!("{id} of server {}, from {remote}", Id::server(server))
            }
            (_, Some(server), None) => format!("{id} of server {}", Id::server(server)),
            (_, None, _) => format!("{id} client"),
        };
        let tid = self.next_track;
        self.next_track += Track::STEP;
        self.name(CONNECTIONS, tid, "thread_name", &name);
        let track = Track {
            tid,
            name,
            stage: None,
            request: false,
            paused: false,
            full: false,
            reads: false,
            writes: false,
            queued: 0,
        };
        self.tracks.insert(of.key.into(), track);
        self.counter(CONNECTIONS, "connections", self.tracks.len());
    }

    /// An event of another layer, on the track of the connection that it names.
    fn of_layer(&mut self, at: &Moment, e: &dyn LayerEvent) {
        let record = Record::new(at, &Event::Layer(e));
        let mut socket = None;
        e.fields(&mut |_, value| {
            if let Shown::Handle { kind: "socket", key } = value {
                socket = Some(key);
            }
        });
        let found = socket.and_then(|key| Some((key, self.tracks.remove(&key)?)));
        let Some((key, mut track)) = found else {
            return self.mark(LOOP, 1, record, e.layer());
        };
        let is_request = e.layer() == "http";
        if is_request && e.name() == "request" {
            self.request(&mut track, Some(&OneLine(e).to_string()));
        }
        self.mark(CONNECTIONS, track.tid, record, e.layer());
        if is_request && matches!(e.name(), "response" | "broken" | "upgraded") {
            self.request(&mut track, None);
        }
        self.tracks.insert(key, track);
    }

    /// A request begins, or is over.
    fn request(&mut self, track: &mut Track, name: Option<&str>) {
        if std::mem::replace(&mut track.request, name.is_some()) {
            self.end(track.tid);
        }
        if let Some(name) = name {
            self.begin(track.tid, name);
        }
    }

    /// One stage follows another.
    fn stage(&mut self, track: &mut Track, stage: Option<&'static str>) {
        if track.stage == stage {
            return;
        }
        if track.stage.is_some() {
            self.end(track.tid);
        }
        if let Some(stage) = stage {
            self.begin(track.tid, stage);
        }
        track.stage = stage;
    }

    /// A side of it stops, or goes on.
    fn side(&mut self, track: &mut Track, side: u32, stopped: bool) {
        let tid = track.tid + side;
        let (state, named, what, text) = match side {
            Track::READING => (&mut track.paused, &mut track.reads, "paused", "reading"),
            _ => (&mut track.full, &mut track.writes, "full", "writing"),
        };
        if std::mem::replace(state, stopped) == stopped {
            return;
        }
        if !std::mem::replace(named, true) {
            let name = format!("{}: {text}", track.name);
            self.name(CONNECTIONS, tid, "thread_name", &name);
        }
        if stopped { self.begin(tid, what) } else { self.end(tid) }
    }

    fn queue(&mut self, track: &mut Track, bytes: usize) {
        self.queued = self.queued - track.queued + bytes;
        track.queued = bytes;
        let name = format!("{} queued bytes", track.name);
        self.counter(CONNECTIONS, &name, bytes);
        self.counter(CONNECTIONS, "queued bytes", self.queued);
    }

    /// Nothing is open any more on its tracks.
    fn close(&mut self, mut track: Track) {
        self.request(&mut track, None);
        self.stage(&mut track, None);
        self.side(&mut track, Track::READING, false);
        self.side(&mut track, Track::WRITING, false);
        if track.queued > 0 {
            self.queue(&mut track, 0);
        }
    }
}

impl Observer for Perfetto {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        self.now = nanos(at.elapsed);
        let Event::Layer(e) = event else {
            self.of_loop(at, event);
            if let Event::TurnEnd { .. } = event {
                self.lines.turn_is_over();
            }
            return;
        };
        let any = e.as_any();
        match (any.downcast_ref(), any.downcast_ref()) {
            (Some(NetEvent::Socket(of, event)), _) => {
                let record = Record::new(at, &Event::Layer(*e));
                self.socket(of, event, record);
            }
            (Some(NetEvent::Server(..)), _) => {
                self.mark(LOOP, 1, Record::new(at, &Event::Layer(*e)), "server");
            }
            (Some(NetEvent::Udp(..)), _) => {
                self.mark(LOOP, 1, Record::new(at, &Event::Layer(*e)), "udp");
            }
            (_, Some(StreamEvent::Pipe(..))) => {
                self.mark(LOOP, 1, Record::new(at, &Event::Layer(*e)), "pipe");
            }
            #[cfg(feature = "async")]
            _ if self.polled(at, any.downcast_ref()) => {}
            _ => self.of_layer(at, *e),
        }
    }
}

impl Drop for Perfetto {
    fn drop(&mut self) {
        let open: Vec<Track> = self.tracks.drain().map(|(_, track)| track).collect();
        for track in open {
            self.close(track);
        }
        self.lines.last(if self.begun { "\n]\n" } else { "[]\n" });
    }
}

/// The format's unit; what is below it stands behind the point.
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

fn nanos(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
