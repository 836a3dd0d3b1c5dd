//! The loop that is studied: four servers on one thread, an observer, and the switch that stops it
//! between two phases.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidegate::Remote;
use tidegate::observe::{Doctor, Id, JsonLines};
use tidegate::prelude::*;

use super::looks::look;
use super::recorder::Recorder;
use super::servers::Opened;
use super::shared::{Go, Shared};
use crate::live::model::ring::Note;

const LOOK_EVERY: Duration = Duration::from_millis(50);
const ASK_EVERY: Duration = Duration::from_millis(250);

/// So small that one connection with much to read meets it.
const READ_BUDGET: usize = 64 * 1024;
pub(crate) const ACCEPT_BUDGET: u32 = 64;
const BACKLOG: u32 = 256;

/// What `source` sends to each connection, in pieces.
const SOURCE: usize = 10 << 20;
static PIECE: [u8; 16 * 1024] = [b'~'; 16 * 1024];
/// Small, so that one sees the queues fill.
const SEND_BUFFER: usize = 64 * 1024;

/// The thread with the loop. Dropped, it ends the loop and waits for the thread.
pub(crate) struct Studied {
    pub(crate) remote: Remote,
    pub(crate) servers: Vec<Opened>,
    /// The timers by which the page looks: not a part of what is shown.
    pub(crate) own: Vec<Id>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Studied {
    /// Starts it. With a path, it also writes every event to that file.
    pub(crate) fn start(shared: &Arc<Shared>, record: Option<PathBuf>) -> io::Result<Studied> {
        let (send, opened) = sync_channel(1);
        let theirs = shared.clone();
        let thread = thread::Builder::new()
            .name("studied".into())
            .spawn(move || run(&theirs, record.as_deref(), &send))?;
        let gone = |_| io::Error::other("the studied loop ended at once");
        let (remote, servers, own) = opened.recv().map_err(gone)??;
        Ok(Studied { remote, servers, own, shared: shared.clone(), thread: Some(thread) })
    }

    /// Stops the loop between two phases.
    pub(crate) fn stop(&self) {
        self.shared.stop();
        self.interrupt();
    }

    /// One phase, and stops again.
    pub(crate) fn step(&self) {
        self.shared.step();
        self.interrupt();
    }

    pub(crate) fn go_on(&self) {
        self.shared.go_on();
    }

    /// Makes `run` return, so that the loop looks at the switch.
    fn interrupt(&self) {
        if self.shared.doing().stopped.is_some() {
            return;
        }
        // A full inbox has closures that run soon, and the loop looks then.
        let _ = self.remote.post(|cx| cx.stop());
    }

    /// Whether the thread has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Studied {
    fn drop(&mut self) {
        self.shared.end();
        self.interrupt();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Begun = io::Result<(Remote, Vec<Opened>, Vec<Id>)>;

fn run(shared: &Arc<Shared>, record: Option<&Path>, begun: &SyncSender<Begun>) {
    let steps = Rc::new(Cell::new(false));
    let mut lp = match open(shared, record, &steps) {
        Ok((mut lp, servers, own)) => {
            let remote = lp.remote();
            if begun.send(Ok((remote, servers, own))).is_err() {
                return;
            }
            lp
        }
        Err(e) => {
            let _ = begun.send(Err(e));
            return;
        }
    };
    loop {
        if shared.is_stopped() {
            shared.doing().stopped = Some(Instant::now());
        }
        let go = shared.next();
        shared.doing().stopped = None;
        steps.set(go == Go::Step);
        let done = match go {
            Go::Run => lp.run(),
            Go::Step => lp.run_phase().map(|_| ()),
            Go::End => return,
        };
        if let Err(e) = done {
            log::error!("the studied loop: {e}");
            return;
        }
    }
}

fn open(
    shared: &Arc<Shared>,
    record: Option<&Path>,
    steps: &Rc<Cell<bool>>,
) -> io::Result<(Loop, Vec<Opened>, Vec<Id>)> {
    let mut lp = Loop::builder().limits(NetLimits::new().read_budget(READ_BUDGET)).build()?;
    let doctor = Doctor::new().say_again(Duration::from_secs(10));
    let both = (Recorder::new(steps.clone(), shared.clone()), doctor.clone());
    match record {
        Some(file) => lp.observe((both, JsonLines::create(file)?)),
        None => lp.observe(both),
    }
    let at = || ListenOptions::new("127.0.0.1:0").backlog(BACKLOG);
    let (first, second) = (shared.clone(), shared.clone());
    let echo = lp.listen(at().accept_budget(ACCEPT_BUDGET), move |c| {
        c.accept(echoing(first.clone()));
    })?;
    let one = lp.listen(at().accept_budget(1), move |c| {
        c.accept(echoing(second.clone()));
    })?;
    let source = lp.listen(at().send_buffer(SEND_BUFFER), |c| {
        let mut source = Source { left: SOURCE };
        let mut s = c.accept(On::new());
        source.pour(&mut s);
        s.set_handler(source);
    })?;
    let sink = lp.listen(at(), |c| {
        c.accept(On::new().data(|_, _| {}).close(|_, _| {}));
    })?;
    let mut servers = Vec::new();
    for (name, key) in [("echo", echo), ("one at a time", one), ("source", source), ("sink", sink)]
    {
        let mut server = lp.server(key);
        let (at, gauge) = (server.local_addr()?, server.accept_gauge()?);
        servers.push(Opened { name, key, at, gauge });
    }
    let (ours, theirs) = (servers.clone(), shared.clone());
    let look = lp.interval(LOOK_EVERY, move |cx, _| {
        if theirs.is_watched() {
            let taken = look(cx, &ours);
            *theirs.look() = taken;
        }
    });
    let ask = doctor.ask_every(&mut lp, ASK_EVERY);
    let (theirs, mut last) = (shared.clone(), 0);
    let tell = lp.interval(ASK_EVERY, move |cx, _| {
        let fresh = doctor.findings().into_iter().filter(|f| f.number > last);
        for finding in fresh.collect::<Vec<_>>() {
            let text = format!("doctor: {finding}");
            let at = u64::try_from(finding.at.as_nanos()).unwrap_or(u64::MAX);
            theirs.note(Note { turn: cx.turn(), at, phase: "", text });
            last = finding.number;
        }
    });
    let own = [look, ask, tell].map(|timer| Id::of("timer", timer.into()));
    Ok((lp, servers, own.to_vec()))
}

/// Sends back what comes, at the client's pace.
fn echoing(shared: Arc<Shared>) -> On {
    On::new()
        .data(move |s, chunk| {
            shared.block_now();
            if s.write(chunk) == Flow::Full {
                s.pause();
            }
        })
        .drain(|s| s.resume())
        .close(|_, _| {})
}

/// Writes until `Full`, and goes on in `on_drain`.
struct Source {
    left: usize,
}

impl Source {
    fn pour(&mut self, s: &mut SocketCx<'_>) {
        while self.left > 0 {
            let piece = &PIECE[..self.left.min(PIECE.len())];
            let flow = s.write(piece);
            if flow == Flow::Closed {
                return;
            }
            self.left -= piece.len();
            if flow == Flow::Full {
                return;
            }
        }
        s.end();
    }
}

impl Handler for Source {
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.pour(s);
    }

    fn on_close(&mut self, _: &mut SocketCx<'_>, _: Close) {}
}
