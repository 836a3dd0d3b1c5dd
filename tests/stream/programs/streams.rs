//! The sources, sinks, readers and transforms of the programs, and what is known of each line.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate::prelude::*;
use tidegate::stream::*;

use super::program::*;

pub(crate) type Action = Box<dyn FnOnce(&mut Cx<'_>)>;

thread_local! {
    /// What the programs came by, so that it shows if they are too tame.
    pub(crate) static SEEN: RefCell<BTreeMap<&'static str, u64>> = RefCell::default();

    /// What posts are to do: a post itself may carry only what can leave its thread.
    pub(crate) static POSTED: RefCell<(u64, HashMap<u64, Action>)> = RefCell::default();
}

pub(crate) fn saw(what: &'static str) {
    SEEN.with_borrow_mut(|seen| *seen.entry(what).or_default() += 1);
}

/// Does it then. Whatever it waits for keeps the loop alive.
pub(crate) fn at(cx: &mut Cx<'_>, when: When, f: impl FnOnce(&mut Cx<'_>) + 'static) {
    match when {
        When::Now => f(cx),
        When::Tick => cx.next_tick(f),
        When::Timer(micros) => {
            let mut f = Some(f);
            cx.timer(Duration::from_micros(micros), move |cx, _| {
                if let Some(f) = f.take() {
                    f(cx);
                }
            });
        }
        When::Post | When::Thread => {
            let id = POSTED.with_borrow_mut(|(last, actions)| {
                *last += 1;
                actions.insert(*last, Box::new(f));
                *last
            });
            let stay = cx.keep_alive("a post").unwrap();
            let remote = cx.remote();
            let post = move || {
                let run = move |cx: &mut Cx<'_>| {
                    let action = POSTED.with_borrow_mut(|(_, actions)| actions.remove(&id));
                    action.expect("a post runs once")(cx);
                    drop(stay);
                };
                assert!(remote.post(run).is_ok());
            };
            if when == When::Thread {
                std::thread::spawn(post);
            } else {
                post();
            }
        }
    }
}

pub(crate) fn byte(at: usize) -> u8 {
    (at ^ at >> 8 ^ at >> 16) as u8
}

pub(crate) fn some_bytes(from: usize, n: usize) -> Bytes {
    (from..from + n).map(byte).collect()
}

/// What is known of one line of the program.
#[derive(Default)]
pub(crate) struct Known {
    /// Bytes that were accepted at its beginning.
    pub(crate) accepted: Cell<usize>,
    /// The id of the last write of a client that had one.
    pub(crate) last_id: Cell<usize>,
    /// What came out at its end.
    pub(crate) out: RefCell<Vec<u8>>,
    /// Something was made to go wrong.
    pub(crate) broken: Cell<bool>,
    /// Opened, and heard the last word of: streams, connections, pipes.
    pub(crate) streams: Cell<[usize; 2]>,
    pub(crate) sockets: Cell<[usize; 2]>,
    pub(crate) pipes: Cell<[usize; 2]>,
    /// Ends that were not good.
    pub(crate) failed: RefCell<Vec<String>>,
    /// Bytes that connections accepted and did not bring to the kernel.
    pub(crate) unsent: Cell<usize>,
    /// The line's own last word, of the reader, the sink or the pipe before it.
    pub(crate) well: Cell<Option<bool>>,
    /// Writes with an id: their size, and what was told.
    pub(crate) ids: RefCell<Vec<(usize, Option<bool>)>>,
    pub(crate) writing: RefCell<VecDeque<(Wrote, When)>>,
}

pub(crate) fn add<const N: usize>(to: &Cell<[usize; N]>, which: usize) {
    let mut n = to.get();
    n[which] += 1;
    to.set(n);
}

impl Known {
    pub(crate) fn said<E: std::fmt::Debug>(&self, what: &Cell<[usize; 2]>, result: &Result<(), E>) {
        add(what, 1);
        if let Err(e) = result {
            self.failed.borrow_mut().push(format!("{e:?}"));
        }
    }

    pub(crate) fn last_word(&self, well: bool) {
        assert_eq!(self.well.replace(Some(well)), None, "one last word");
    }
}

/// Shared by all that belongs to the line.
pub(crate) type Shared = Rc<Known>;

pub(crate) struct Spring {
    plan: From,
    answers: std::vec::IntoIter<(Vec<usize>, When)>,
    known: Shared,
    destroyed: bool,
}

impl Spring {
    fn answer(cx: &mut Cx<'_>, key: ReadableKey, known: &Shared, sizes: &[usize]) {
        for size in sizes {
            let mut r = cx.readable(key);
            let open = r.state().is_ok();
            match r.push(some_bytes(known.accepted.get(), *size)) {
                // The limit of what may wait, if it was open.
                Flow::Closed => known.broken.set(known.broken.get() || open),
                _ => known.accepted.set(known.accepted.get() + size),
            }
        }
    }
}

impl Source for Spring {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        assert!(!self.destroyed, "asked after its end");
        let (key, known) = (r.key(), self.known.clone());
        if let Some((sizes, when)) = self.answers.next() {
            at(&mut r.cx(), when, move |cx| Spring::answer(cx, key, &known, &sizes));
            return Ok(());
        }
        match self.plan.end {
            End::Well => at(&mut r.cx(), self.plan.end_when, move |cx| cx.readable(key).push_end()),
            End::Fails if self.plan.end_when == When::Now => {
                known.broken.set(true);
                return Err("the spring is dry".into());
            }
            how => at(&mut r.cx(), self.plan.end_when, move |cx| {
                let mut r = cx.readable(key);
                known.broken.set(known.broken.get() || r.state().is_ok());
                match how {
                    End::Fails => r.fail("the spring is dry"),
                    _ => r.destroy(),
                }
            }),
        }
        Ok(())
    }

    fn destroy(&mut self, _: &mut Cx<'_>, _: Result<(), &StreamError>) {
        assert!(!std::mem::replace(&mut self.destroyed, true), "destroyed once");
    }
}

pub(crate) fn open_from(
    lp: &mut Loop,
    plan: &From,
    pull: bool,
    reader: impl ReadHandler,
    l: &Shared,
) -> ReadableKey {
    let answers = plan.answers.clone().into_iter();
    let spring = Spring { plan: plan.clone(), answers, known: l.clone(), destroyed: false };
    let mut options = ReadableOptions::new().high_water_mark(plan.mark).pull(pull);
    if let Some(limit) = plan.limit {
        options = options.read_limit(limit);
    }
    let key = lp.open_readable(options, spring, reader).unwrap();
    add(&l.streams, 0);
    if let Some(size) = plan.first {
        Spring::answer(&mut lp.cx(), key, l, &[size]);
    }
    key
}

/// Of a source that is piped: it hears the last word and no more.
pub(crate) struct Piped(pub(crate) Shared);

impl ReadHandler for Piped {
    fn on_data(&mut self, _: &mut ReadableCx<'_>, _: Bytes) {
        panic!("its bytes are the pipe's");
    }
    fn on_close(&mut self, _: &mut Cx<'_>, close: StreamClose) {
        self.0.said(&self.0.streams, &close.result);
    }
}

pub(crate) struct Takes {
    pub(crate) plan: Taking,
    pub(crate) limit: Option<usize>,
    pub(crate) chunks: usize,
    pub(crate) ended: bool,
    pub(crate) known: Shared,
}

impl Takes {
    fn got(&mut self, r: &mut ReadableCx<'_>, chunk: &[u8]) {
        assert!(!self.ended && !chunk.is_empty());
        self.known.out.borrow_mut().extend_from_slice(chunk);
        self.chunks += 1;
        if self.plan.destroy == Some(self.chunks) {
            self.known.broken.set(true);
            r.destroy();
        }
        if let Some((_, when)) = self.plan.pause.filter(|(n, _)| *n == self.chunks) {
            r.pause();
            let key = r.key();
            at(&mut r.cx(), when, move |cx| cx.readable(key).resume());
        }
    }
}

impl ReadHandler for Takes {
    fn on_data(&mut self, r: &mut ReadableCx<'_>, chunk: Bytes) {
        assert!(self.plan.pull.is_none());
        self.got(r, &chunk);
    }
    fn on_readable(&mut self, r: &mut ReadableCx<'_>) {
        let n = self.plan.pull.expect("only if it pulls");
        if self.limit.is_some_and(|limit| n > limit) {
            // So many can never wait.
            self.known.broken.set(true);
        }
        while let Some(chunk) = r.read(n) {
            self.got(r, &chunk);
        }
    }
    fn on_end(&mut self, r: &mut ReadableCx<'_>) {
        assert!(r.buffered() == 0 && !std::mem::replace(&mut self.ended, true));
    }
    fn on_close(&mut self, _: &mut Cx<'_>, close: StreamClose) {
        assert_eq!(self.ended, close.result.is_ok());
        self.known.said(&self.known.streams, &close.result);
        self.known.last_word(close.result.is_ok());
    }
}

// ---- sinks

pub(crate) struct Drain {
    plan: To,
    writes: usize,
    busy: Rc<Cell<bool>>,
    finished: bool,
    destroyed: bool,
    known: Shared,
}

impl Drain {
    fn proceed(&self, w: &mut WritableCx<'_>, pace: Pace) -> Progress {
        let (key, busy) = (w.key(), self.busy.clone());
        match pace {
            Pace::Done => return Progress::Done,
            Pace::Inside => w.written(Ok(())).unwrap(),
            Pace::Later(when) => {
                busy.set(true);
                at(&mut w.cx(), when, move |cx| {
                    busy.set(false);
                    let mut w = cx.writable(key);
                    let open = w.state().is_ok();
                    assert_eq!(w.written(Ok(())).is_ok(), open);
                });
            }
        }
        Progress::Later
    }

    fn fail(&self, w: &mut WritableCx<'_>, pace: Pace) -> Result<Progress, BoxError> {
        let (key, known) = (w.key(), self.known.clone());
        let fail = move |cx: &mut Cx<'_>| {
            let mut w = cx.writable(key);
            known.broken.set(known.broken.get() || w.state().is_ok());
            let _ = w.written(Err("the drain is blocked".into()));
        };
        match pace {
            Pace::Done => {
                self.known.broken.set(true);
                return Err("the drain is blocked".into());
            }
            Pace::Inside => fail(&mut w.cx()),
            Pace::Later(when) => at(&mut w.cx(), when, fail),
        }
        Ok(Progress::Later)
    }
}

impl Sink for Drain {
    fn write(&mut self, w: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError> {
        assert!(!self.busy.get() && !self.finished && !self.destroyed, "one write at a time");
        assert!(!chunks.is_empty() && chunks.len() <= self.plan.gather);
        assert!(chunks.iter().all(|c| !c.is_empty()));
        let n = self.writes;
        self.writes += 1;
        if let Some((_, pace)) = self.plan.fails.filter(|(at, _)| *at == n) {
            return self.fail(w, pace);
        }
        for chunk in chunks {
            self.known.out.borrow_mut().extend_from_slice(chunk);
        }
        Ok(self.proceed(w, self.plan.paces[n % self.plan.paces.len()]))
    }

    fn finish(&mut self, w: &mut WritableCx<'_>) -> Result<Progress, BoxError> {
        assert!(!self.busy.get() && !std::mem::replace(&mut self.finished, true));
        let told = self.known.ids.borrow().iter().all(|(_, told)| *told == Some(true));
        assert!(told, "the finish comes after every completion");
        if self.plan.finish_fails {
            return self.fail(w, self.plan.finish);
        }
        Ok(self.proceed(w, self.plan.finish))
    }

    fn destroy(&mut self, _: &mut Cx<'_>, result: Result<(), &StreamError>) {
        assert!(!std::mem::replace(&mut self.destroyed, true), "destroyed once");
        assert!(self.finished || result.is_err(), "a good end is a finished one");
    }
}

/// Hears what a writable stream tells, and writes on at its drain.
pub(crate) struct Writes {
    known: Shared,
    piped: bool,
    finished: bool,
}

impl WriteHandler for Writes {
    fn on_drain(&mut self, w: &mut WritableCx<'_>) {
        assert!(!self.finished);
        assert_eq!(w.buffered(), 0);
        saw("a stream drained");
        if !self.piped {
            let key = w.key();
            write_on(&mut w.cx(), key, &self.known);
        }
    }
    fn on_written(&mut self, _: &mut WritableCx<'_>, id: u64, result: Result<(), &StreamError>) {
        let mut ids = self.known.ids.borrow_mut();
        let next = ids.iter().position(|(_, told)| told.is_none());
        assert_eq!(next, Some(id as usize), "in order, each once");
        ids[id as usize].1 = Some(result.is_ok());
    }
    fn on_finish(&mut self, _: &mut WritableCx<'_>) {
        assert!(!std::mem::replace(&mut self.finished, true));
    }
    fn on_close(&mut self, _: &mut Cx<'_>, close: StreamClose) {
        assert_eq!(self.finished, close.result.is_ok());
        self.known.said(&self.known.streams, &close.result);
        if !self.piped {
            self.known.last_word(close.result.is_ok());
        }
    }
}

pub(crate) fn open_to(lp: &mut Loop, plan: &To, piped: bool, l: &Shared) -> WritableKey {
    let sink = Drain {
        plan: plan.clone(),
        writes: 0,
        busy: Rc::default(),
        finished: false,
        destroyed: false,
        known: l.clone(),
    };
    let mut options = WritableOptions::new().high_water_mark(plan.mark).gather(plan.gather);
    if let Some(limit) = plan.limit {
        options = options.write_limit(limit);
    }
    let handler = Writes { known: l.clone(), piped, finished: false };
    add(&l.streams, 0);
    lp.open_writable(options, sink, handler).unwrap()
}

/// The writes that are planned, up to one that waits; then the end.
pub(crate) fn write_on(cx: &mut Cx<'_>, key: WritableKey, known: &Shared) {
    loop {
        let next = known.writing.borrow_mut().pop_front();
        let mut w = cx.writable(key);
        let open = w.state().is_ok();
        let Some((wrote, when)) = next else {
            return w.end();
        };
        match wrote {
            Wrote::Bytes(size) | Wrote::Told(size) => {
                let data = some_bytes(known.accepted.get(), size);
                let flow = if let Wrote::Bytes(_) = wrote {
                    w.write(&data[..])
                } else {
                    let id = known.ids.borrow().len();
                    let flow = w.write_id(data, id as u64);
                    if flow != Flow::Closed {
                        known.ids.borrow_mut().push((size, None));
                    }
                    flow
                };
                match flow {
                    Flow::Closed => known.broken.set(known.broken.get() || open),
                    _ => known.accepted.set(known.accepted.get() + size),
                }
            }
            Wrote::Corked => w.cork(),
            Wrote::Uncorked => w.uncork(),
            Wrote::Drained if w.needs_drain() => {
                for _ in 0..30 {
                    w.uncork();
                }
                return;
            }
            Wrote::Drained => {}
            Wrote::Destroyed => {
                known.broken.set(known.broken.get() || open);
                w.destroy();
            }
        }
        if when != When::Now {
            let known = known.clone();
            return at(cx, when, move |cx| {
                // A drain may have brought it further.
                write_on(cx, key, &known);
            });
        }
    }
}

// ---- transforms

pub(crate) struct Staged {
    stage: Stage,
    seen: usize,
    held: Vec<u8>,
    known: Shared,
}

impl Transform for Staged {
    fn transform(
        &mut self,
        _: &mut Cx<'_>,
        chunk: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), BoxError> {
        assert!(!chunk.is_empty());
        let first = self.seen;
        self.seen += chunk.len();
        match self.stage {
            Stage::Fails(at) if self.seen > at => {
                self.known.broken.set(true);
                return Err("it does not come through".into());
            }
            Stage::Same | Stage::Fails(_) | Stage::FailsToFlush => out.extend_from_slice(chunk),
            Stage::Twice => out.extend(chunk.iter().flat_map(|b| [*b, *b])),
            Stage::Half => out.extend(chunk.iter().skip(first % 2).step_by(2)),
            Stage::Hold => self.held.extend_from_slice(chunk),
        }
        Ok(())
    }

    fn flush(&mut self, _: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        out.extend_from_slice(&self.held);
        if self.stage == Stage::FailsToFlush {
            self.known.broken.set(true);
            return Err("it does not come through".into());
        }
        Ok(())
    }
}

pub(crate) fn stages_of(stages: &[Stage], known: &Shared) -> Vec<Box<dyn Transform>> {
    let staged =
        |stage: &Stage| Staged { stage: *stage, seen: 0, held: Vec::new(), known: known.clone() };
    stages.iter().map(|s| Box::new(staged(s)) as Box<dyn Transform>).collect()
}

/// What becomes of all these bytes.
pub(crate) fn through(stages: &[Stage], mut bytes: Vec<u8>) -> Vec<u8> {
    for stage in stages {
        bytes = match stage {
            Stage::Twice => bytes.iter().flat_map(|b| [*b, *b]).collect(),
            Stage::Half => bytes.iter().step_by(2).copied().collect(),
            _ => bytes,
        };
    }
    bytes
}
