//! [`Sink`] and [`WriteHandler`]: what a user writes for a writable stream.
#![forbid(unsafe_code)]

use std::fmt;

use bytes::Bytes;
use tidegate_loop::Cx;

use crate::error::{BoxError, StreamError};
use crate::user::close::StreamClose;
use crate::user::context::WritableCx;

/// What a [`Sink`] has done with the bytes that it got.
///
/// ```
/// assert_ne!(tidegate_stream::Progress::Done, tidegate_stream::Progress::Later);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// All of it is done.
    Done,
    /// It took all of it, and will call [`WritableCx::written`] when it is done.
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
    /// Takes all of these chunks. Only one write is under way at a time. An error ends the
    /// stream: every write that is not complete fails with it.
    fn write(&mut self, w: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError>;

    /// Everything was written, and every `on_written` was called: do what is left before the stream
    /// has finished.
    fn finish(&mut self, w: &mut WritableCx<'_>) -> Result<Progress, BoxError> {
        let _ = w;
        Ok(Progress::Done)
    }

    /// The stream is closed, with or without an error: release what this holds. Called once, and
    /// last.
    fn destroy(&mut self, cx: &mut Cx<'_>, result: Result<(), &StreamError>) {
        let _ = (cx, result);
    }
}

/// The callbacks of a writable stream. Every method has a default; `()` is a handler that
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
    /// The queue is empty after one or more writes returned `Full`, also those of a pipe.
    /// Never called after `end`.
    fn on_drain(&mut self, w: &mut WritableCx<'_>) {
        let _ = w;
    }

    /// A write with an id is complete, or has failed. Called exactly once for each, in their
    /// order.
    fn on_written(&mut self, w: &mut WritableCx<'_>, id: u64, result: Result<(), &StreamError>) {
        let _ = (w, id, result);
    }

    /// Everything is written, and the sink has finished.
    fn on_finish(&mut self, w: &mut WritableCx<'_>) {
        let _ = w;
    }

    /// The stream is closed, and its key finds nothing any more. Called once, and last. The default
    /// logs an error that no pipe gets.
    fn on_close(&mut self, cx: &mut Cx<'_>, close: StreamClose) {
        close.unhandled(cx, "writable");
    }
}

impl WriteHandler for () {}

/// There is nothing to complete: no write is under way.
///
/// ```
/// assert!(tidegate_stream::NotWriting.to_string().contains("no write"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotWriting;

impl fmt::Display for NotWriting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no write of this stream is under way: it was completed before, or the stream is over",
        )
    }
}

impl std::error::Error for NotWriting {}
