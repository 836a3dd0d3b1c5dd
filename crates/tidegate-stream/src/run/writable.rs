//! A writable stream over a user's sink: its dispatch, and the methods that users call.
//!
//! What it owns is in `layer.rs`, what it does as a readable stream does in `row.rs`, and how
//! bytes are queued in `WriteState` (`machine/write.rs`). Here it is decided when the sink is
//! called:
//!
//! | sink | has bytes | `Done` | `Later` | `written` | wants its end |
//! |---|---|---|---|---|---|
//! | Idle | Writing | - | - | refused | Finishing, after every completion |
//! | Writing | waits | Idle | Writing | Idle | waits |
//! | Finishing | - | finished | Finishing | finished | - |
#![forbid(unsafe_code)]

use bytes::Bytes;
use slab::Slab;
use tidegate_loop::kind::{Dispatch, Handle, Kind};
use tidegate_loop::{AsCx, Cx, Key, KeyError, TableFull};

use crate::ends::{PipeKey, WriteEnd};
use crate::error::{BoxError, StreamError};
use crate::machine::chunk::Chunk;
use crate::machine::flow::{Effect, Flow, Refused};
use crate::machine::write::WriteState;
use crate::run::call::{call, caught};
use crate::run::layer::{Busy, Common, Layer, STREAMS, Writable};
use crate::run::row::{self, Row};
use crate::user::close::StreamClose;
use crate::user::context::{WritableCx, WritableKey};
use crate::user::options::WritableOptions;
use crate::user::sink::{NotWriting, Progress, Sink, WriteHandler};

static WRITABLE: Kind = Kind::new("writable", STREAMS.owner())
    .ready(dispatch)
    .pending(|d, key, data| {
        // If it has spent its budget, it is queued for the ready pass and waits for that.
        if !d.driver().handle(STREAMS.owner(), key).is_some_and(|h| h.is_queued()) {
            dispatch(d, key, data);
        }
    })
    .close(|cx, key, _| {
        WritableCx::new(cx.cx(), WritableKey(key)).destroy();
        Ok(())
    })
    .closed(closed)
    .describe(|cx, key, _| {
        let queued = WritableCx::new(cx.cx(), WritableKey(key)).buffered();
        format!("{queued} bytes queued")
    });

pub(crate) fn open(
    cx: &mut Cx<'_>,
    options: &WritableOptions,
    sink: Box<dyn Sink>,
    handler: Box<dyn WriteHandler>,
) -> Result<WritableKey, TableFull> {
    let (layer, mut d) = cx.layer(&STREAMS);
    let entry = layer.writables.vacant_entry();
    let mut handle = match d.insert(&WRITABLE, entry.key() as u64) {
        Ok(handle) => handle,
        Err(full) => {
            d.bury(sink);
            d.bury(handler);
            return Err(full);
        }
    };
    handle.set_ref(false);
    let limit = options.write_limit.unwrap_or(layer.limits.write_limit);
    let key = handle.key();
    let row = Writable {
        write: WriteState::new(options.high_water_mark, limit),
        busy: Busy::Idle,
        gather: options.gather,
        pieces: Vec::new(),
        sink: Some(sink),
        handler: Some(handler),
        common: Common::new(key),
    };
    entry.insert(row);
    Ok(WritableKey(key))
}

impl Row for Writable {
    fn rows(layer: &mut Layer) -> &mut Slab<Writable> {
        &mut layer.writables
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    fn has_ended(&self) -> bool {
        !self.write.is_open()
    }

    fn is_due(&self) -> bool {
        self.write.has_effect()
            || self.busy == Busy::Idle && (self.write.wants_write() || self.write.wants_fin())
    }

    fn destroy_machine(&mut self) {
        self.write.destroy();
    }
}

impl Writable {
    fn complete(&mut self, h: &mut Handle<'_>) -> Result<(), NotWriting> {
        match std::mem::replace(&mut self.busy, Busy::Idle) {
            Busy::Idle => return Err(NotWriting),
            Busy::Writing(n) => self.write.advance(n),
            Busy::Finishing => self.write.fin_sent(),
        }
        h.pend();
        Ok(())
    }

    /// Whether everything is written and delivered, except the end.
    fn wants_finish(&self) -> bool {
        self.busy == Busy::Idle && self.write.wants_fin() && !self.write.has_effect()
    }

    fn push(&mut self, data: Chunk<'_>) {
        match data {
            // Each write stays a separate piece.
            data if self.gather == 1 => self.write.push_whole(data.keep()),
            Chunk::Lent(b) => self.write.push(b),
            Chunk::Shared(b) => self.write.push_bytes(b),
        }
    }
}

/// Each call of the sink counts as at least this many bytes against the budget.
const CALL: usize = 1024;
/// The most effects that one dispatch delivers.
const TELL: usize = 1000;

/// First feeds the sink, so that it has the next bytes when a callback runs (W5); then delivers the
/// effects; then ends the sink, which comes after all effects (W12).
fn dispatch(d: &mut Dispatch<'_>, key: Key, _: u64) {
    let budget = d.layer(&STREAMS).0.limits.write_budget;
    let mut given = 0;
    loop {
        while given < budget {
            match feed(d, key) {
                Some(n) => given += n.max(CALL),
                None => break,
            }
        }
        tell(d, key);
        let (layer, mut driver) = d.layer(&STREAMS);
        let Some(mut handle) = driver.handle(STREAMS.owner(), key) else { return };
        match layer.writables.get(handle.data() as usize).filter(|w| w.is_open()) {
            Some(w) if w.wants_finish() && given < budget => {}
            // The rest comes in the next turn: other handles are served in between.
            Some(w) if w.is_due() => return handle.queue(),
            _ => return,
        }
    }
}

/// Gives the sink what waits, or its end, and returns how many bytes. `None` if the sink is
/// busy, or nothing waits.
fn feed(d: &mut Dispatch<'_>, key: Key) -> Option<usize> {
    let (layer, driver) = d.layer(&STREAMS);
    let w = layer.writable(&driver, key).filter(|w| w.is_open() && w.busy == Busy::Idle)?;
    let mut pieces = std::mem::take(&mut w.pieces);
    let mut given = 0;
    if w.write.wants_write() {
        given = w.write.lend(&mut pieces, w.gather);
        w.busy = Busy::Writing(given);
    } else if w.wants_finish() {
        w.busy = Busy::Finishing;
    } else {
        w.pieces = pieces;
        return None;
    }
    let busy = w.busy;
    let sink = w.sink.take();
    let progress = call(d, key, sink, sink_back, |sink, cx| {
        let mut cx = WritableCx::new(cx, WritableKey(key));
        match busy {
            Busy::Finishing => sink.finish(&mut cx),
            _ => sink.write(&mut cx, &pieces),
        }
    });
    pieces.clear();
    let (layer, driver) = d.layer(&STREAMS);
    if let Some(w) = layer.writable(&driver, key) {
        w.pieces = pieces;
    }
    row::change(&mut d.cx(), key, |w: &mut Writable, h| match progress {
        Some(Ok(Progress::Done)) => {
            if w.complete(h).is_err() {
                w.destroy(h, Err(StreamError::CompletedTwice));
            }
        }
        Some(Ok(Progress::Later)) | None => {}
        Some(Err(e)) => w.destroy(h, Err(e.into())),
    });
    d.settle();
    Some(given)
}

fn tell(d: &mut Dispatch<'_>, key: Key) {
    for _ in 0..TELL {
        let (layer, mut driver) = d.layer(&STREAMS);
        let Some(mut handle) = driver.handle(STREAMS.owner(), key) else { return };
        let w = layer.writables.get_mut(handle.data() as usize);
        let Some(w) = w.filter(|w| w.is_open()) else { return };
        let pipe = w.common.pipe;
        match w.write.take_effect() {
            Some(Effect::Drain) => {
                if let Some(pipe) = pipe {
                    pipe.drained(d);
                }
                call_handler(d, key, |h, w| h.on_drain(w));
            }
            Some(Effect::Written(id)) => call_handler(d, key, |h, w| h.on_written(w, id, Ok(()))),
            Some(Effect::Finish) => {
                call_handler(d, key, |h, w| h.on_finish(w));
                if let Some(pipe) = pipe {
                    pipe.finished(d);
                }
            }
            None => {
                if w.write.is_finished() {
                    w.destroy(&mut handle, Ok(()));
                }
                return;
            }
        }
        d.settle();
    }
}

fn call_handler(
    d: &mut Dispatch<'_>,
    key: Key,
    f: impl FnOnce(&mut dyn WriteHandler, &mut WritableCx<'_>),
) {
    let (layer, driver) = d.layer(&STREAMS);
    let row = layer.writable(&driver, key);
    let handler = row.filter(|w| w.is_open()).and_then(|w| w.handler.take());
    call(d, key, handler, handler_back, |h, cx| {
        f(&mut **h, &mut WritableCx::new(cx, WritableKey(key)));
    });
}

fn sink_back(d: &mut Dispatch<'_>, key: Key, sink: Box<dyn Sink>, panicked: bool) {
    row::put_back(d, key, sink, panicked, |w: &mut Writable| &mut w.sink);
}

fn handler_back(d: &mut Dispatch<'_>, key: Key, h: Box<dyn WriteHandler>, panicked: bool) {
    row::put_back(d, key, h, panicked, |w: &mut Writable| &mut w.handler);
}

/// The closing phase: frees the key, then calls the sink, the handler for each write that
/// waits, the pipe, and the handler.
fn closed(d: &mut Dispatch<'_>, key: Key, _: u64) {
    let Some((mut w, result)) = row::take_closed::<Writable>(d, key) else { return };
    if let Some(mut sink) = w.sink.take() {
        caught(&mut d.cx(), |cx| sink.destroy(cx, result.as_ref().copied()));
        // Its drop may panic, too.
        d.driver().bury(sink);
    }
    let Some(mut handler) = w.handler.take() else { return };
    while let Some((id, is_out)) = w.write.take_expected() {
        let result = if is_out { Ok(()) } else { result.as_ref().copied() };
        caught(&mut d.cx(), |cx| {
            handler.on_written(&mut WritableCx::new(cx.cx(), WritableKey(key)), id, result);
        });
    }
    let piped = w.common.pipe.is_some_and(|pipe| pipe.sink_closed(d, result.clone()));
    handler.on_close(&mut d.cx(), StreamClose { result, piped });
}

impl WritableCx<'_> {
    fn change<T>(&mut self, f: impl FnOnce(&mut Writable, &mut Handle<'_>) -> T) -> Option<T> {
        row::change(&mut self.cx, self.key.0, f)
    }

    fn look<T>(&mut self, f: impl FnOnce(&Writable) -> T) -> Option<T> {
        row::look(&mut self.cx, self.key.0, f)
    }

    /// `Ok` while the stream is open; else why the key finds nothing.
    pub fn state(&mut self) -> Result<(), KeyError> {
        row::state::<Writable>(&mut self.cx, self.key.0)
    }

    /// Queues `data` for the sink, which gets it in the pending phase. The answer depends on
    /// what is queued, `data` included: `Full` from the high-water mark on. Beyond
    /// `write_limit` the stream is destroyed.
    #[inline]
    pub fn write<'c>(&mut self, data: impl Into<Chunk<'c>>) -> Flow {
        self.queue(data.into(), None)
    }

    /// Writes with an id: [`on_written`](WriteHandler::on_written) is called with it when the
    /// sink is done with `data`.
    #[inline]
    pub fn write_id<'c>(&mut self, data: impl Into<Chunk<'c>>, id: u64) -> Flow {
        self.queue(data.into(), Some(id))
    }

    fn queue(&mut self, data: Chunk<'_>, id: Option<u64>) -> Flow {
        self.change(|w, h| match w.write.admit() {
            Ok(()) => {
                w.push(data);
                if let Some(id) = id {
                    w.write.expect(id);
                }
                match w.write.flow() {
                    Flow::Full => w.write.stop(),
                    flow => flow,
                }
            }
            Err(Refused::Limit { queued, limit }) => {
                w.destroy(h, Err(StreamError::Limit { queued, limit }));
                Flow::Closed
            }
            Err(Refused::Closed) => Flow::Closed,
        })
        .unwrap_or(Flow::Closed)
    }

    /// For the sink: its last write is complete, or has failed. Call it once for each
    /// [`Progress::Later`].
    pub fn written(&mut self, result: Result<(), BoxError>) -> Result<(), NotWriting> {
        match result {
            Ok(()) => self.change(|w, h| w.complete(h)).unwrap_or(Err(NotWriting)),
            Err(e) if self.look(|w| w.busy).is_some_and(|b| b != Busy::Idle) => {
                self.fail(e);
                Ok(())
            }
            Err(e) => {
                self.cx.driver().bury(e);
                Err(NotWriting)
            }
        }
    }

    /// Holds writes back until [`uncork`](WritableCx::uncork), so that they leave together.
    /// Nests.
    pub fn cork(&mut self) {
        self.change(|w, _| w.write.cork());
    }

    /// Takes back one [`cork`](WritableCx::cork); a surplus one does nothing.
    pub fn uncork(&mut self) {
        self.change(|w, _| w.write.uncork());
    }

    /// No more writes come: what is queued still goes out, then the sink finishes, then
    /// `on_finish` is called.
    pub fn end(&mut self) {
        self.change(|w, _| w.write.end());
    }

    /// Ends the stream now. What is queued is dropped; `on_written` is called with an error
    /// for each write that has an id and is not done.
    pub fn destroy(&mut self) {
        self.change(|w, h| w.destroy(h, Err(StreamError::Destroyed)));
    }

    /// Ends the stream now, with this error.
    pub fn fail(&mut self, error: impl Into<BoxError>) {
        let error = StreamError::from(error.into());
        row::fail::<Writable>(&mut self.cx, self.key.0, error);
    }

    /// Queued bytes, including those that the sink is writing.
    pub fn buffered(&mut self) -> usize {
        self.look(|w| w.write.len()).unwrap_or(0)
    }

    /// Whether a write returned `Full` and the drain is still to come.
    pub fn needs_drain(&mut self) -> bool {
        self.look(|w| w.write.needs_drain()).unwrap_or(false)
    }
}

impl WriteEnd for WritableKey {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<Flow, StreamError> {
        row::attach(
            cx,
            self.0,
            pipe,
            |w: &mut Writable| {
                if w.write.needs_drain() { Flow::Full } else { Flow::Ready }
            },
        )
    }

    fn write(&self, cx: &mut Cx<'_>, data: Bytes) -> Flow {
        WritableCx::new(cx.cx(), *self).write(data)
    }

    fn end(&self, cx: &mut Cx<'_>) {
        WritableCx::new(cx.cx(), *self).end();
    }

    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        let cause = cause.clone();
        WritableCx::new(cx.cx(), *self).change(|w, h| w.destroy(h, Err(cause)));
    }
}
