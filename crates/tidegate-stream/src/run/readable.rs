//! A readable stream over a user's source: its dispatch, and the methods that users call.
//!
//! What it owns is in `layer.rs`, what it does as a writable stream does in `row.rs`, and how
//! bytes wait in `ReadQueue` (`machine/read_queue.rs`).
#![forbid(unsafe_code)]

use bytes::Bytes;
use slab::Slab;
use tidegate_loop::kind::{Dispatch, Handle, Kind};
use tidegate_loop::{AsCx, Cx, Key, KeyError, TableFull};

use crate::ends::{PipeKey, ReadEnd};
use crate::error::{BoxError, StreamError};
use crate::machine::chunk::Chunk;
use crate::machine::flow::{Flow, Refused};
use crate::machine::read::ReadState;
use crate::machine::read_queue::ReadQueue;
use crate::run::call::{call, caught};
use crate::run::layer::{Common, Layer, Readable, STREAMS};
use crate::run::row::{self, Row};
use crate::user::close::StreamClose;
use crate::user::context::{ReadableCx, ReadableKey};
use crate::user::options::ReadableOptions;
use crate::user::source::{ReadHandler, Source};

static READABLE: Kind = Kind::new("readable", STREAMS.owner())
    .ready(dispatch)
    .pending(|d, key, data| {
        // If it has spent its budget, it is queued for the ready pass and waits for that.
        if !d.driver().handle(STREAMS.owner(), key).is_some_and(|h| h.is_queued()) {
            dispatch(d, key, data);
        }
    })
    .close(|cx, key, _| {
        ReadableCx::new(cx.cx(), ReadableKey(key)).destroy();
        Ok(())
    })
    .closed(closed)
    .describe(|cx, key, _| {
        let waiting = ReadableCx::new(cx.cx(), ReadableKey(key)).buffered();
        format!("{waiting} bytes waiting")
    });

pub(crate) fn open(
    cx: &mut Cx<'_>,
    options: &ReadableOptions,
    source: Box<dyn Source>,
    reader: Box<dyn ReadHandler>,
) -> Result<ReadableKey, TableFull> {
    let (layer, mut d) = cx.layer(&STREAMS);
    let entry = layer.readables.vacant_entry();
    let mut handle = match d.insert(&READABLE, entry.key() as u64) {
        Ok(handle) => handle,
        Err(full) => {
            d.bury(source);
            d.bury(reader);
            return Err(full);
        }
    };
    handle.set_ref(false);
    handle.pend();
    let limit = options.read_limit.unwrap_or(layer.limits.read_limit);
    let mut read = ReadQueue::new(options.high_water_mark, limit);
    read.set_pulled(options.pull);
    let (source, reader, key) = (Some(source), Some(reader), handle.key());
    let row = Readable { read, source, reader, common: Common::new(key) };
    entry.insert(row);
    Ok(ReadableKey(key))
}

impl Row for Readable {
    fn rows(layer: &mut Layer) -> &mut Slab<Readable> {
        &mut layer.readables
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common {
        &mut self.common
    }

    fn has_ended(&self) -> bool {
        self.read.state() == ReadState::Ended
    }

    fn is_due(&self) -> bool {
        self.read.is_due()
    }

    fn destroy_machine(&mut self) {
        self.read.destroy();
    }
}

/// Each call counts as at least this many bytes against the budget.
const CALL: usize = 1024;

/// Does one step after another, until nothing is due or the budget is spent.
fn dispatch(d: &mut Dispatch<'_>, key: Key, _: u64) {
    let mut left = d.layer(&STREAMS).0.limits.read_budget;
    loop {
        match step(d, key) {
            Some(n) if n < left => left = left.saturating_sub(n.max(CALL)),
            // The rest comes in the next turn: other handles are served in between.
            Some(_) => return queue(d, key),
            None => return,
        }
    }
}

fn queue(d: &mut Dispatch<'_>, key: Key) {
    if let Some(mut handle) = d.driver().handle(STREAMS.owner(), key) {
        handle.queue();
    }
}

/// Does the next thing that is due, and returns how many bytes it moved.
fn step(d: &mut Dispatch<'_>, key: Key) -> Option<usize> {
    let (layer, mut driver) = d.layer(&STREAMS);
    let mut handle = driver.handle(STREAMS.owner(), key)?;
    let r = layer.readables.get_mut(handle.data() as usize).filter(|r| r.is_open())?;
    let pipe = r.common.pipe;
    if let Some(chunk) = r.read.take() {
        let bytes = chunk.len();
        match pipe {
            Some(pipe) => pipe.data(d, Chunk::Shared(chunk)),
            None => tell(d, key, |h, r| h.on_data(r, chunk)),
        }
        return Some(bytes);
    }
    if r.read.take_news() {
        tell(d, key, |h, r| h.on_readable(r));
        return Some(0);
    }
    if r.read.take_end() {
        call_reader(d, key, |h, r| h.on_end(r));
        if let Some(pipe) = pipe {
            pipe.ended(d);
        }
        d.settle();
        return Some(0);
    }
    if r.has_ended() {
        r.destroy(&mut handle, Ok(()));
        return None;
    }
    if !r.read.ask() {
        return None;
    }
    let source = r.source.take();
    let asked = call(d, key, source, source_back, |source, cx| {
        source.read(&mut ReadableCx::new(cx, ReadableKey(key)))
    });
    if let Some(Err(e)) = asked {
        row::change(&mut d.cx(), key, |r: &mut Readable, h| r.destroy(h, Err(e.into())));
    }
    d.settle();
    let (layer, driver) = d.layer(&STREAMS);
    let row = layer.readable(&driver, key);
    // An empty push: nothing for now. It is asked again, but not in this turn.
    let nothing = row.is_some_and(|r| r.read.is_empty() && r.read.would_ask());
    Some(if nothing { usize::MAX } else { 0 })
}

fn tell(d: &mut Dispatch<'_>, key: Key, f: impl FnOnce(&mut dyn ReadHandler, &mut ReadableCx<'_>)) {
    call_reader(d, key, f);
    d.settle();
}

fn call_reader(
    d: &mut Dispatch<'_>,
    key: Key,
    f: impl FnOnce(&mut dyn ReadHandler, &mut ReadableCx<'_>),
) {
    let (layer, driver) = d.layer(&STREAMS);
    let row = layer.readable(&driver, key);
    let reader = row.and_then(|r| r.reader.take());
    call(d, key, reader, reader_back, |reader, cx| {
        f(&mut **reader, &mut ReadableCx::new(cx, ReadableKey(key)));
    });
}

fn source_back(d: &mut Dispatch<'_>, key: Key, source: Box<dyn Source>, panicked: bool) {
    row::put_back(d, key, source, panicked, |r: &mut Readable| &mut r.source);
}

fn reader_back(d: &mut Dispatch<'_>, key: Key, reader: Box<dyn ReadHandler>, panicked: bool) {
    row::put_back(d, key, reader, panicked, |r: &mut Readable| &mut r.reader);
}

/// The closing phase: frees the key, then calls the source, the pipe and the reader.
fn closed(d: &mut Dispatch<'_>, key: Key, _: u64) {
    let Some((mut r, result)) = row::take_closed::<Readable>(d, key) else { return };
    if let Some(mut source) = r.source.take() {
        caught(&mut d.cx(), |cx| source.destroy(cx, result.as_ref().copied()));
        // Its drop may panic, too.
        d.driver().bury(source);
    }
    let piped = r.common.pipe.is_some_and(|pipe| pipe.source_closed(d, result.clone()));
    if let Some(mut reader) = r.reader.take() {
        reader.on_close(&mut d.cx(), StreamClose { result, piped });
    }
}

impl ReadableCx<'_> {
    fn change<T>(&mut self, f: impl FnOnce(&mut Readable, &mut Handle<'_>) -> T) -> Option<T> {
        row::change(&mut self.cx, self.key.0, f)
    }

    fn look<T>(&mut self, f: impl FnOnce(&Readable) -> T) -> Option<T> {
        row::look(&mut self.cx, self.key.0, f)
    }

    /// `Ok` while the stream is open; else why the key finds nothing.
    pub fn state(&mut self) -> Result<(), KeyError> {
        row::state::<Readable>(&mut self.cx, self.key.0)
    }

    /// For the source: gives bytes to the stream. The answer depends on what waits, these
    /// bytes included: `Full` from the high-water mark on. After the end it is `Closed`, and
    /// nothing is stored. The reader gets the bytes in the pending phase.
    #[inline]
    pub fn push<'c>(&mut self, chunk: impl Into<Chunk<'c>>) -> Flow {
        self.queue(chunk.into())
    }

    fn queue(&mut self, chunk: Chunk<'_>) -> Flow {
        let chunk = chunk.keep();
        self.change(|r, h| match r.read.push(chunk) {
            Ok(flow) => flow,
            Err(Refused::Limit { queued, limit }) => {
                r.destroy(h, Err(StreamError::Limit { queued, limit }));
                Flow::Closed
            }
            Err(Refused::Closed) => Flow::Closed,
        })
        .unwrap_or(Flow::Closed)
    }

    /// For the source: there are no more bytes.
    pub fn push_end(&mut self) {
        self.change(|r, _| r.read.eof());
    }

    /// Puts bytes back, to be read next. `false`, and nothing is stored, after `on_end`.
    pub fn unshift<'c>(&mut self, chunk: impl Into<Chunk<'c>>) -> bool {
        let chunk = chunk.into().keep();
        self.change(|r, _| r.read.unshift(chunk)).unwrap_or(false)
    }

    /// Takes exactly `n` bytes, or at the end whatever is left; `None` if fewer wait. More
    /// than `read_limit` can never wait: asking for that destroys the stream.
    pub fn read(&mut self, n: usize) -> Option<Bytes> {
        self.change(|r, h| {
            let limit = r.read.limit();
            if n > limit {
                r.destroy(h, Err(StreamError::Limit { queued: n, limit }));
            }
            r.read.read(n)
        })
        .flatten()
    }

    /// Takes everything that waits, in one piece.
    pub fn read_all(&mut self) -> Option<Bytes> {
        self.change(|r, _| r.read.read_all()).flatten()
    }

    /// Stops at once: the reader gets nothing, and the source is not called.
    pub fn pause(&mut self) {
        self.change(|r, _| r.read.pause());
    }

    /// Goes on in the pending phase; does nothing while a pipe waits for its sink to drain.
    pub fn resume(&mut self) {
        let pipe = self.look(|r| r.common.pipe).flatten();
        if pipe.is_some_and(|pipe| pipe.is_full(&mut self.cx)) {
            return;
        }
        self.change(|r, _| r.read.resume());
    }

    /// Ends the stream now. Bytes that wait are dropped.
    pub fn destroy(&mut self) {
        self.change(|r, h| r.destroy(h, Err(StreamError::Destroyed)));
    }

    /// Ends the stream now, with this error.
    pub fn fail(&mut self, error: impl Into<BoxError>) {
        let error = StreamError::from(error.into());
        row::fail::<Readable>(&mut self.cx, self.key.0, error);
    }

    /// Bytes that wait.
    pub fn buffered(&mut self) -> usize {
        self.look(|r| r.read.len()).unwrap_or(0)
    }
}

impl ReadEnd for ReadableKey {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError> {
        row::attach(cx, self.0, pipe, |r: &mut Readable| {
            r.read.set_pulled(false);
            r.read.resume();
        })
    }

    fn pause(&self, cx: &mut Cx<'_>) {
        ReadableCx::new(cx.cx(), *self).pause();
    }

    fn resume(&self, cx: &mut Cx<'_>) {
        ReadableCx::new(cx.cx(), *self).change(|r, _| r.read.resume());
    }

    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        let cause = cause.clone();
        ReadableCx::new(cx.cx(), *self).change(|r, h| r.destroy(h, Err(cause)));
    }
}
