//! A readable stream over a user's source.
#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use tidegate_loop::{AsCx, Cx, Dispatch, Driver, Key, KeyError, Kind, TableFull};

use crate::error::{BoxError, StreamError};
use crate::flow::{Layer, ReadEnd, Reader, Source, StreamClose, call, caught, keep};
use crate::machine::chunk::Chunk;
use crate::machine::flow::{Flow, Refused};
use crate::machine::read::ReadState;
use crate::machine::read_queue::ReadQueue;
use crate::pipe::PipeKey;

static READABLE: Kind = Kind {
    name: "readable",
    ready: dispatch,
    pending: |d, key, data| {
        // One that has spent its budget waits for its place in the ready pass.
        if !d.driver().is_queued(key) {
            dispatch(d, key, data);
        }
    },
    close: |cx, key, _| {
        ReadableCx::new(cx.as_cx(), ReadableKey(key)).destroy();
        Ok(())
    },
    closed,
    describe: |cx, key, _| {
        let waiting = ReadableCx::new(cx.as_cx(), ReadableKey(key)).buffered();
        format!("{waiting} bytes waiting")
    },
};

/// Names a readable stream.
///
/// ```
/// assert_eq!(size_of::<Option<tidegate_stream::ReadableKey>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadableKey(Key);

impl From<ReadableKey> for Key {
    fn from(k: ReadableKey) -> Key {
        k.0
    }
}

/// How a readable stream is to be.
///
/// ```
/// use tidegate_stream::ReadableOptions;
/// let options = ReadableOptions::new().high_water_mark(1024).pull(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct ReadableOptions {
    high_water_mark: usize,
    read_limit: Option<usize>,
    pull: bool,
}

impl Default for ReadableOptions {
    fn default() -> ReadableOptions {
        ReadableOptions { high_water_mark: 64 * 1024, read_limit: None, pull: false }
    }
}

impl ReadableOptions {
    /// The defaults.
    pub fn new() -> ReadableOptions {
        ReadableOptions::default()
    }

    /// Waiting bytes at which the source is not asked any more, and a push answers `Full`;
    /// reached counts. Default: 64 KiB.
    pub fn high_water_mark(mut self, bytes: usize) -> ReadableOptions {
        self.high_water_mark = bytes;
        self
    }

    /// Waiting bytes beyond which a push destroys the stream. Default: the loop's
    /// `write_limit`.
    pub fn read_limit(mut self, bytes: usize) -> ReadableOptions {
        self.read_limit = Some(bytes);
        self
    }

    /// Whether the reader takes bytes by [`ReadableCx::read`], told by
    /// [`Reader::on_readable`], instead of being handed them. Default: false.
    pub fn pull(mut self, pull: bool) -> ReadableOptions {
        self.pull = pull;
        self
    }
}

pub(crate) struct Readable {
    read: ReadQueue,
    /// Each `None` while it is called.
    source: Option<Box<dyn Source>>,
    reader: Option<Box<dyn Reader>>,
    pipe: Option<PipeKey>,
    /// How it ended, once it has.
    over: Option<Result<(), StreamError>>,
}

pub(crate) fn open(
    cx: &mut Cx<'_>,
    options: &ReadableOptions,
    source: Box<dyn Source>,
    reader: Box<dyn Reader>,
) -> Result<ReadableKey, TableFull> {
    let (layer, mut d) = cx.parts::<Layer>();
    let key = match d.insert(&READABLE, 0) {
        Ok(key) => key,
        Err(full) => {
            d.bury(source);
            d.bury(reader);
            return Err(full);
        }
    };
    d.set_ref(key, false);
    d.pend(key);
    let limit = options.read_limit.unwrap_or(d.limits().write_limit);
    let mut read = ReadQueue::new(options.high_water_mark, limit);
    read.set_pulled(options.pull);
    let row = Readable { read, source: Some(source), reader: Some(reader), pipe: None, over: None };
    layer.readables.insert(key, row);
    Ok(ReadableKey(key))
}

/// Ends the stream that this pipe is attached to, if there is one.
pub(crate) fn end_attached(cx: &mut Cx<'_>, pipe: PipeKey, cause: &StreamError) {
    let (layer, mut d) = cx.parts::<Layer>();
    for (key, r) in layer.readables.iter_mut().filter(|(_, r)| r.pipe == Some(pipe)) {
        r.destroy(&mut d, *key, Err(cause.clone()));
    }
}

impl Readable {
    fn destroy(&mut self, d: &mut Driver<'_>, key: Key, result: Result<(), StreamError>) {
        if self.over.is_none() {
            self.over = Some(result);
            self.read.destroy();
            d.close(&READABLE, key);
        }
    }
}

/// What a call counts at least against the budget, in bytes.
const CALL: usize = 1024;

/// One thing after another, until nothing is due or others are to have their turn.
fn dispatch(d: &mut Dispatch<'_>, key: Key, _: u64) {
    let mut left = d.driver().limits().read_budget;
    loop {
        match step(d, key) {
            Some(n) if n < left => left = left.saturating_sub(n.max(CALL)),
            // In the next turn: others have theirs in between.
            Some(_) => return d.driver().queue(key),
            None => return,
        }
    }
}

/// The next thing that is due, and how many bytes it moved.
fn step(d: &mut Dispatch<'_>, key: Key) -> Option<usize> {
    let (layer, mut driver) = d.parts::<Layer>();
    let r = layer.readables.get_mut(&key).filter(|r| r.over.is_none())?;
    let pipe = r.pipe;
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
    if r.read.state() == ReadState::Ended {
        r.destroy(&mut driver, key, Ok(()));
        return None;
    }
    if !r.read.ask() {
        return None;
    }
    let source = r.source.take();
    let asked = call(d, key, source, source_back, |source, d| {
        source.read(&mut ReadableCx::new(d.cx(), ReadableKey(key)))
    });
    if let Some(Err(e)) = asked {
        let (layer, mut driver) = d.parts::<Layer>();
        let e = StreamError::from(e);
        if let Some(r) = layer.readables.get_mut(&key) {
            r.destroy(&mut driver, key, Err(e));
        }
    }
    d.settle();
    let row = d.parts::<Layer>().0.readables.get(&key);
    // An empty push: nothing for now. It is asked again, but not in this turn.
    let nothing = row.is_some_and(|r| r.read.is_empty() && r.read.would_ask());
    Some(if nothing { usize::MAX } else { 0 })
}

fn tell(d: &mut Dispatch<'_>, key: Key, f: impl FnOnce(&mut dyn Reader, &mut ReadableCx<'_>)) {
    call_reader(d, key, f);
    d.settle();
}

fn call_reader(
    d: &mut Dispatch<'_>,
    key: Key,
    f: impl FnOnce(&mut dyn Reader, &mut ReadableCx<'_>),
) {
    let row = d.parts::<Layer>().0.readables.get_mut(&key);
    let reader = row.and_then(|r| r.reader.take());
    call(d, key, reader, reader_back, |reader, d| {
        f(&mut **reader, &mut ReadableCx::new(d.cx(), ReadableKey(key)));
    });
}

fn source_back(d: &mut Dispatch<'_>, key: Key, source: Box<dyn Source>, panicked: bool) {
    back(d, key, source, panicked, |r| &mut r.source);
}

fn reader_back(d: &mut Dispatch<'_>, key: Key, reader: Box<dyn Reader>, panicked: bool) {
    back(d, key, reader, panicked, |r| &mut r.reader);
}

fn back<T: 'static>(
    d: &mut Dispatch<'_>,
    key: Key,
    user: T,
    panicked: bool,
    place: fn(&mut Readable) -> &mut Option<T>,
) {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(r) = layer.readables.get_mut(&key) else { return driver.bury(user) };
    *place(r) = Some(user);
    if panicked {
        r.destroy(&mut driver, key, Err(StreamError::Panicked));
    }
}

/// The closing phase: the key is stale, everybody is told.
fn closed(d: &mut Dispatch<'_>, key: Key, _: u64) {
    let (layer, mut driver) = d.parts::<Layer>();
    driver.free(&READABLE, key);
    let Some(mut r) = layer.readables.remove(&key) else { return };
    let result = r.over.take().unwrap_or(Err(StreamError::Destroyed));
    if let Some(mut source) = r.source.take() {
        caught(&mut d.cx(), |cx| source.destroy(cx, result.as_ref().copied()));
        // Its drop may panic, too.
        d.driver().bury(source);
    }
    let piped = r.pipe.is_some_and(|pipe| pipe.source_closed(d, result.clone()));
    if let Some(mut reader) = r.reader.take() {
        reader.on_close(&mut d.cx(), StreamClose { result, piped });
    }
}

/// A readable stream, and the whole [`Cx`] beside it. On one that is over every method does
/// nothing, and a push returns [`Flow::Closed`].
///
/// ```
/// use tidegate_stream::ReadableCx;
/// fn take_lines_of_80(r: &mut ReadableCx<'_>) {
///     while let Some(line) = r.read(80) {
///         println!("{line:?}");
///     }
/// }
/// # let _ = take_lines_of_80;
/// ```
pub struct ReadableCx<'a> {
    cx: Cx<'a>,
    key: ReadableKey,
}

impl<'a> Deref for ReadableCx<'a> {
    type Target = Cx<'a>;
    fn deref(&self) -> &Cx<'a> {
        &self.cx
    }
}

impl DerefMut for ReadableCx<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cx
    }
}

impl AsCx for ReadableCx<'_> {
    fn as_cx(&mut self) -> Cx<'_> {
        self.cx.as_cx()
    }
}

impl<'a> ReadableCx<'a> {
    pub(crate) fn new(cx: Cx<'a>, key: ReadableKey) -> ReadableCx<'a> {
        ReadableCx { cx, key }
    }

    /// The stream, if it is not over. Afterwards it is queued.
    fn change<R>(&mut self, f: impl FnOnce(&mut Readable, &mut Driver<'_>) -> R) -> Option<R> {
        let key = self.key.0;
        let (layer, mut d) = self.cx.parts::<Layer>();
        let r = layer.readables.get_mut(&key).filter(|r| r.over.is_none())?;
        let done = f(r, &mut d);
        if r.read.is_due() {
            d.pend(key);
        }
        Some(done)
    }

    fn look<R>(&mut self, f: impl FnOnce(&Readable) -> R) -> Option<R> {
        let layer = self.cx.parts::<Layer>().0;
        layer.readables.get(&self.key.0).filter(|r| r.over.is_none()).map(f)
    }

    /// The stream's key, to be kept.
    pub fn key(&self) -> ReadableKey {
        self.key
    }

    /// Whether the stream is not over; if it is, why the key finds nothing.
    pub fn state(&mut self) -> Result<(), KeyError> {
        self.cx.find(self.key)?;
        self.look(|_| ()).ok_or(KeyError::Closed)
    }

    /// For the source: here are bytes. The answer goes by what waits, these included:
    /// `Full` from the high-water mark on; `Closed`, and nothing stored, after the end.
    /// The reader gets them in the pending phase.
    pub fn push<'c>(&mut self, chunk: impl Into<Chunk<'c>>) -> Flow {
        let (key, chunk) = (self.key.0, keep(chunk.into()));
        self.change(|r, d| match r.read.push(chunk) {
            Ok(flow) => flow,
            Err(Refused::Limit { queued, limit }) => {
                r.destroy(d, key, Err(StreamError::Limit { queued, limit }));
                Flow::Closed
            }
            Err(Refused::Closed) => Flow::Closed,
        })
        .unwrap_or(Flow::Closed)
    }

    /// For the source: there is no more.
    pub fn push_end(&mut self) {
        self.change(|r, _| r.read.eof());
    }

    /// Puts bytes back, to be read next. `false`, and nothing stored, once the end was
    /// told.
    pub fn unshift<'c>(&mut self, chunk: impl Into<Chunk<'c>>) -> bool {
        let chunk = keep(chunk.into());
        self.change(|r, _| r.read.unshift(chunk)).unwrap_or(false)
    }

    /// Exactly `n` bytes; `None` if fewer wait. At the end, whatever is left. More than
    /// `read_limit` can never wait: asking for that destroys the stream.
    pub fn read(&mut self, n: usize) -> Option<Bytes> {
        let key = self.key.0;
        self.change(|r, d| {
            let limit = r.read.limit();
            if n > limit {
                r.destroy(d, key, Err(StreamError::Limit { queued: n, limit }));
            }
            r.read.read(n)
        })
        .flatten()
    }

    /// All that waits, in one piece.
    pub fn read_all(&mut self) -> Option<Bytes> {
        self.change(|r, _| r.read.read_all()).flatten()
    }

    /// Hands on nothing more, at once, and asks the source for nothing.
    pub fn pause(&mut self) {
        self.change(|r, _| r.read.pause());
    }

    /// Goes on, in the pending phase; not while a pipe waits for its sink to drain.
    pub fn resume(&mut self) {
        let pipe = self.look(|r| r.pipe).flatten();
        if pipe.is_some_and(|pipe| pipe.is_full(&mut self.cx)) {
            return;
        }
        self.change(|r, _| r.read.resume());
    }

    /// Over, now. What waits is dropped.
    pub fn destroy(&mut self) {
        let key = self.key.0;
        self.change(|r, d| r.destroy(d, key, Err(StreamError::Destroyed)));
    }

    /// Over, with this error.
    pub fn fail(&mut self, error: impl Into<BoxError>) {
        let (key, error) = (self.key.0, StreamError::from(error.into()));
        self.change(|r, d| r.destroy(d, key, Err(error.clone())));
        // Dropped later, if the stream was over.
        self.cx.driver().bury(error);
    }

    /// Bytes that wait.
    pub fn buffered(&mut self) -> usize {
        self.look(|r| r.read.len()).unwrap_or(0)
    }
}

impl ReadEnd for ReadableKey {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError> {
        let layer = cx.parts::<Layer>().0;
        if let Some(Err(e)) = layer.readables.get(&self.0).and_then(|r| r.over.as_ref()) {
            return Err(e.clone());
        }
        let attached = ReadableCx::new(cx.as_cx(), *self).change(|r, _| {
            if r.read.state() == ReadState::Ended {
                return Err(StreamError::Closed);
            }
            if r.pipe.is_some() {
                return Err(StreamError::Piped);
            }
            r.pipe = Some(pipe);
            r.read.set_pulled(false);
            r.read.resume();
            Ok(())
        });
        attached.unwrap_or(Err(StreamError::Closed))
    }

    fn pause(&self, cx: &mut Cx<'_>) {
        ReadableCx::new(cx.as_cx(), *self).pause();
    }

    fn resume(&self, cx: &mut Cx<'_>) {
        ReadableCx::new(cx.as_cx(), *self).change(|r, _| r.read.resume());
    }

    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        let (key, cause) = (self.0, cause.clone());
        ReadableCx::new(cx.as_cx(), *self).change(|r, d| r.destroy(d, key, Err(cause)));
    }
}
