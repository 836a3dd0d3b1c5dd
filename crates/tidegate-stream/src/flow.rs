//! Streams of the user's own on a loop: what a user writes ([`Source`], [`Sink`],
//! [`Transform`]), and how it is put to work ([`Streams`]).
//!
//! The machines (`write.rs`, `read.rs`) decide; `writable.rs`, `readable.rs` and `pipe.rs`
//! call the user's code for them, from the pending phase: never inside a call of the
//! user's.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use tidegate_loop::{AsCx, Cx, Dispatch, Key, TableFull};

use crate::error::{BoxError, PipeError, StreamError};
use crate::machine::chunk::Chunk;
use crate::machine::flow::Flow;
use crate::pipe::{self, Pipe, PipeKey};
use crate::readable::{self, Readable, ReadableCx, ReadableKey, ReadableOptions};
use crate::writable::{self, Writable, WritableCx, WritableKey, WritableOptions};

/// How far a [`Sink`] got with what it was given.
///
/// ```
/// assert_ne!(tidegate_stream::Progress::Done, tidegate_stream::Progress::Later);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// All of it is done.
    Done,
    /// It took all of it, and tells by [`WritableCx::written`] when it is done.
    Later,
}

/// Where the bytes of a writable stream go: a file, a body, another protocol.
///
/// ```
/// use bytes::Bytes;
/// use tidegate_loop::Loop;
/// use tidegate_stream::{BoxError, Progress, Sink, Streams, WritableCx};
///
/// struct Print;
/// impl Sink for Print {
///     fn write(&mut self, _: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError> {
///         print!("{}", String::from_utf8_lossy(&chunks.concat()));
///         Ok(Progress::Done)
///     }
/// }
///
/// let mut lp = Loop::new()?;
/// let out = lp.open_writable(Default::default(), Print, ())?;
/// let _ = lp.writable(out).write("high water at noon\n");
/// lp.writable(out).end();
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Sink: 'static {
    /// Takes these chunks, all of them. One write is under way at a time. An error is the
    /// stream's end: everything outstanding fails with it.
    fn write(&mut self, w: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError>;

    /// Everything was written, and every completion told: what is to be done before the
    /// stream has finished.
    fn finish(&mut self, w: &mut WritableCx<'_>) -> Result<Progress, BoxError> {
        let _ = w;
        Ok(Progress::Done)
    }

    /// The stream is over, well or not: lets go of what it holds. Once, and last.
    fn destroy(&mut self, cx: &mut Cx<'_>, result: Result<(), &StreamError>) {
        let _ = (cx, result);
    }
}

/// Where the bytes of a readable stream come from.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_stream::{BoxError, Reader, ReadableCx, Source, Streams};
///
/// struct Countdown(u8);
/// impl Source for Countdown {
///     fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
///         match self.0.checked_sub(1) {
///             Some(n) => { self.0 = n; let _ = r.push(vec![b'0' + n]); }
///             None => r.push_end(),
///         }
///         Ok(())
///     }
/// }
/// struct Print;
/// impl Reader for Print {
///     fn on_data(&mut self, _: &mut ReadableCx<'_>, chunk: bytes::Bytes) {
///         println!("{chunk:?}");
///     }
/// }
///
/// let mut lp = Loop::new()?;
/// lp.open_readable(Default::default(), Countdown(3), Print)?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Source: 'static {
    /// More is wanted: [`push`](ReadableCx::push) it or say that there is no more, now or
    /// later, from any callback. It is not asked again before that; after an empty push, in
    /// the next turn (and so in each, as long as it pushes nothing). An error is the stream's end.
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError>;

    /// The stream is over, well or not: lets go of what it holds. Once, and last.
    fn destroy(&mut self, cx: &mut Cx<'_>, result: Result<(), &StreamError>) {
        let _ = (cx, result);
    }
}

/// What changes the bytes on their way through a pipe.
///
/// ```
/// use bytes::BytesMut;
/// use tidegate_loop::Cx;
/// use tidegate_stream::{BoxError, Transform};
/// struct Upper;
/// impl Transform for Upper {
///     fn transform(&mut self, _: &mut Cx<'_>, chunk: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
///         out.extend(chunk.iter().map(u8::to_ascii_uppercase));
///         Ok(())
///     }
/// }
/// # let _: Box<dyn Transform> = Box::new(Upper);
/// ```
pub trait Transform: 'static {
    /// Appends to `out` what `chunk` becomes: nothing yet, less, or more. What is appended
    /// counts against the next stage at once. An error is the pipe's end.
    fn transform(
        &mut self,
        cx: &mut Cx<'_>,
        chunk: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), BoxError>;

    /// No more chunks come: appends what is still to be said.
    fn flush(&mut self, cx: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        let _ = (cx, out);
        Ok(())
    }
}

/// What a pipe can read from: a key of a readable stream, or of a connection. An implementation
/// of your own tells the pipe by the methods of [`PipeKey`].
///
/// The pipe calls it from the loop, and also inside [`Streams::pipe`] and [`Cx::close`]. A
/// panic is the failure of this end: both ends are destroyed, `done` gets
/// [`StreamError::Panicked`], and the panic leaves `run` after that. An end that panics in
/// `attach` or in `destroy` counts as closed.
///
/// ```
/// fn from<E: tidegate_stream::ReadEnd>(end: E) {}
/// # let _ = from::<tidegate_stream::ReadableKey>;
/// ```
pub trait ReadEnd: 'static {
    /// From now on its bytes, its end and its close are this pipe's.
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError>;
    /// Gives nothing more for now.
    fn pause(&self, cx: &mut Cx<'_>);
    /// Goes on.
    fn resume(&self, cx: &mut Cx<'_>);
    /// Over, for this reason. Then comes [`PipeKey::source_closed`], once.
    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError);
}

/// What a pipe can write to: a key of a writable stream, or of a connection. For
/// implementations of your own the same holds as for a [`ReadEnd`].
///
/// ```
/// fn to<E: tidegate_stream::WriteEnd>(end: E) {}
/// # let _ = to::<tidegate_stream::WritableKey>;
/// ```
pub trait WriteEnd: 'static {
    /// From now on its drain, its finish and its close are this pipe's. Says whether it
    /// takes bytes now.
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<Flow, StreamError>;
    /// Takes of `data` what it can without keeping any; says how many bytes.
    fn try_write(&self, cx: &mut Cx<'_>, data: &[u8]) -> usize {
        let _ = (cx, data);
        0
    }
    /// Takes `data`, keeping it without a copy.
    fn write(&self, cx: &mut Cx<'_>, data: Bytes) -> Flow;
    /// No more comes.
    fn end(&self, cx: &mut Cx<'_>);
    /// Over, for this reason. Then comes [`PipeKey::sink_closed`], once.
    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError);
}

/// What a writable stream tells. Every method has a default; `()` is a handler that
/// does nothing.
///
/// ```
/// use tidegate_stream::{WritableCx, WriteHandler};
/// struct Say;
/// impl WriteHandler for Say {
///     fn on_drain(&mut self, _: &mut WritableCx<'_>) { println!("go on") }
/// }
/// # let _: Box<dyn WriteHandler> = Box::new(Say);
/// ```
pub trait WriteHandler: 'static {
    /// The queue is empty after one or more writes returned `Full`, be they a pipe's. Never
    /// after `end`.
    fn on_drain(&mut self, w: &mut WritableCx<'_>) {
        let _ = w;
    }

    /// A write with an id is over. Exactly once for each, in their order.
    fn on_written(&mut self, w: &mut WritableCx<'_>, id: u64, result: Result<(), &StreamError>) {
        let _ = (w, id, result);
    }

    /// Everything is written, and the sink has finished.
    fn on_finish(&mut self, w: &mut WritableCx<'_>) {
        let _ = w;
    }

    /// The stream is over; its key finds nothing any more. Once, and last. The default
    /// logs an error that nobody handles.
    fn on_close(&mut self, cx: &mut Cx<'_>, close: StreamClose) {
        close.unhandled(cx, "writable");
    }
}

impl WriteHandler for () {}

/// What a readable stream tells. `()` reads on and drops what comes.
///
/// ```
/// use tidegate_stream::{Reader, ReadableCx};
/// struct Count(usize);
/// impl Reader for Count {
///     fn on_data(&mut self, _: &mut ReadableCx<'_>, chunk: bytes::Bytes) { self.0 += chunk.len() }
/// }
/// # let _: Box<dyn Reader> = Box::new(Count(0));
/// ```
pub trait Reader: 'static {
    /// Bytes came.
    fn on_data(&mut self, r: &mut ReadableCx<'_>, chunk: Bytes) {
        let _ = (r, chunk);
    }

    /// For who pulls ([`ReadableOptions::pull`]): there are new bytes to
    /// [`read`](ReadableCx::read), or the end came.
    fn on_readable(&mut self, r: &mut ReadableCx<'_>) {
        let _ = r;
    }

    /// Every byte was taken, and there are no more.
    fn on_end(&mut self, r: &mut ReadableCx<'_>) {
        let _ = r;
    }

    /// The stream is over; its key finds nothing any more. Once, and last. The default
    /// logs an error that nobody handles.
    fn on_close(&mut self, cx: &mut Cx<'_>, close: StreamClose) {
        close.unhandled(cx, "readable");
    }
}

impl Reader for () {}

/// How a stream of the user's own ended.
///
/// ```
/// use tidegate_stream::{StreamClose, StreamError};
/// fn well(close: &StreamClose) -> bool {
///     close.result.is_ok()
/// }
/// # let _ = well;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamClose {
    /// It ended by itself, or why not.
    pub result: Result<(), StreamError>,
    /// Whether the `done` of a pipe tells the same.
    pub piped: bool,
}

impl StreamClose {
    /// What a handler does that has nothing to do.
    fn unhandled(&self, cx: &mut Cx<'_>, what: &str) {
        if let Err(e) = self.result.as_ref() {
            if !self.piped && !e.is_bare_close() {
                let alike = (what, e.alike());
                cx.driver().unhandled(
                    "tidegate::stream",
                    alike,
                    format_args!("a {what} stream {e}"),
                );
            }
        }
    }
}

/// Streams of the user's own. Implemented for the loop, for [`Cx`] and for the contexts of
/// callbacks.
///
/// `run` does not return while a stream or a pipe has something to do: a source to ask, bytes
/// to hand on, a completion to tell. One that waits for its source or its sink does not keep
/// the loop alive; the timer, the job or the connection that they wait for does.
///
/// A `Bytes` over an owner of yours may be dropped inside a call that is done with it: the
/// one value of yours that is.
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use tidegate_loop::{Cx, Loop};
/// use tidegate_stream::*;
///
/// struct Once(Option<&'static str>);
/// impl Source for Once {
///     fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
///         if let Some(text) = self.0.take() { let _ = r.push(text); }
///         r.push_end();
///         Ok(())
///     }
/// }
/// struct Upper;
/// impl Transform for Upper {
///     fn transform(&mut self, _: &mut Cx<'_>, chunk: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
///         out.extend(chunk.iter().map(u8::to_ascii_uppercase));
///         Ok(())
///     }
/// }
/// struct Check;
/// impl Sink for Check {
///     fn write(&mut self, _: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError> {
///         assert_eq!(chunks.concat(), b"TIDE");
///         Ok(Progress::Done)
///     }
/// }
///
/// let mut lp = Loop::new()?;
/// let from = lp.open_readable(Default::default(), Once(Some("tide")), ())?;
/// let to = lp.open_writable(Default::default(), Check, ())?;
/// lp.pipeline(from, vec![Box::new(Upper)], to, |_, result| result.unwrap())?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Streams: AsCx {
    /// A writable stream over `sink`. The handler is told.
    fn open_writable(
        &mut self,
        options: WritableOptions,
        sink: impl Sink,
        handler: impl WriteHandler,
    ) -> Result<WritableKey, TableFull> {
        writable::open(&mut self.as_cx(), &options, Box::new(sink), Box::new(handler))
    }

    /// A readable stream over `source`. It begins to flow with the next pending phase,
    /// unless it is paused till then.
    fn open_readable(
        &mut self,
        options: ReadableOptions,
        source: impl Source,
        reader: impl Reader,
    ) -> Result<ReadableKey, TableFull> {
        readable::open(&mut self.as_cx(), &options, Box::new(source), Box::new(reader))
    }

    /// A writable stream by its key. On a stale or foreign key everything is a no-op.
    fn writable(&mut self, key: WritableKey) -> WritableCx<'_> {
        WritableCx::new(self.as_cx(), key)
    }

    /// A readable stream by its key.
    fn readable(&mut self, key: ReadableKey) -> ReadableCx<'_> {
        ReadableCx::new(self.as_cx(), key)
    }

    /// Brings what comes from one end to the other, at the pace of the slower, and ends
    /// the other when the first ends. It owns both: an error or an early close of either
    /// destroys both. `done` comes once, after the last byte is out, or after both are
    /// closed, with the first cause.
    ///
    /// The pipe's own memory is one buffer, for what the other end refused, and one for each
    /// transform. [`Cx::close`] ends it early. After a good end a connection is the user's
    /// again: the direction that was not piped is as it was.
    fn pipe(
        &mut self,
        from: impl ReadEnd,
        to: impl WriteEnd,
        done: impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static,
    ) -> Result<PipeKey, TableFull> {
        self.pipeline(from, Vec::new(), to, done)
    }

    /// The same with transforms on the way.
    fn pipeline(
        &mut self,
        from: impl ReadEnd,
        through: Vec<Box<dyn Transform>>,
        to: impl WriteEnd,
        done: impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static,
    ) -> Result<PipeKey, TableFull> {
        let (from, to) = (std::rc::Rc::new(from), std::rc::Rc::new(to));
        pipe::open(&mut self.as_cx(), from, through, to, Box::new(done))
    }
}

impl<T: AsCx + ?Sized> Streams for T {}

/// This layer's state in a loop.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) writables: BTreeMap<Key, Writable>,
    pub(crate) readables: BTreeMap<Key, Readable>,
    pub(crate) pipes: BTreeMap<Key, Pipe>,
}

/// The bytes of a chunk, to be kept.
pub(crate) fn keep(chunk: Chunk<'_>) -> Bytes {
    match chunk {
        Chunk::Lent(b) => Bytes::copy_from_slice(b),
        Chunk::Shared(b) => b,
    }
}

/// A user's object that left its row for the time of a call. Dropping it, also by a panic,
/// gives it to `back`, which is told whether it was one.
struct Called<'a, 'b, T> {
    d: &'a mut Dispatch<'b>,
    key: Key,
    user: Option<T>,
    panicked: bool,
    back: fn(&mut Dispatch<'_>, Key, T, bool),
}

impl<T> Drop for Called<'_, '_, T> {
    fn drop(&mut self) {
        if let Some(user) = self.user.take() {
            (self.back)(self.d, self.key, user, self.panicked);
        }
    }
}

/// The only way to a user's object. Afterwards all is whole again: call `settle`.
pub(crate) fn call<T, R>(
    d: &mut Dispatch<'_>,
    key: Key,
    user: Option<T>,
    back: fn(&mut Dispatch<'_>, Key, T, bool),
    f: impl FnOnce(&mut T, &mut Dispatch<'_>) -> R,
) -> Option<R> {
    let mut called = Called { d, key, user, panicked: true, back };
    let done = called.user.as_mut().map(|user| f(user, called.d));
    called.panicked = false;
    done
}

/// A call of the user's after which there is more to do: a panic waits until all of that is
/// done. `None` if it panicked.
pub(crate) fn caught<R>(cx: &mut Cx<'_>, f: impl FnOnce(&mut Cx<'_>) -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(|| f(cx))) {
        Ok(done) => Some(done),
        Err(payload) => {
            cx.driver().panic_later(payload);
            None
        }
    }
}
