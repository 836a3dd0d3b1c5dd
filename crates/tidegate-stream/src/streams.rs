//! [`Streams`]: what users call to open streams and pipes, on a loop and in callbacks.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tidegate_loop::{AsCx, Cx, TableFull};

use crate::ends::{PipeKey, ReadEnd, Transform, WriteEnd};
use crate::error::PipeError;
use crate::limits::StreamLimits;
use crate::run::layer::STREAMS;
use crate::run::{join, pipe, readable, writable};
use crate::user::context::{ReadableCx, ReadableKey, WritableCx, WritableKey};
use crate::user::options::{ReadableOptions, WritableOptions};
use crate::user::sink::{Sink, WriteHandler};
use crate::user::source::{ReadHandler, Source};

/// Opens your own streams, and pipes. Implemented for the loop, for [`Cx`] and for the
/// contexts of callbacks.
///
/// `run` does not return while a stream or a pipe has something to do: a source to call, bytes to
/// pass on, a completion to report. A stream that waits for its source or its sink does not keep
/// the loop alive; the timer, the job or the connection behind them does.
///
/// A `Bytes` over an owner of your own type may be dropped inside the call that is done with it.
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
    /// The limits of the loop's streams.
    fn stream_limits(&mut self) -> StreamLimits {
        self.cx().layer(&STREAMS).0.limits.clone()
    }

    /// Opens a writable stream over `sink`. The handler gets its callbacks.
    fn open_writable(
        &mut self,
        options: WritableOptions,
        sink: impl Sink,
        handler: impl WriteHandler,
    ) -> Result<WritableKey, TableFull> {
        writable::open(&mut self.cx(), &options, Box::new(sink), Box::new(handler))
    }

    /// Opens a readable stream over `source`. It begins to flow in the next pending phase,
    /// unless it is paused before.
    fn open_readable(
        &mut self,
        options: ReadableOptions,
        source: impl Source,
        reader: impl ReadHandler,
    ) -> Result<ReadableKey, TableFull> {
        readable::open(&mut self.cx(), &options, Box::new(source), Box::new(reader))
    }

    /// A writable stream by its key. With the key of a closed stream, or of another loop, every
    /// method does nothing.
    fn writable(&mut self, key: WritableKey) -> WritableCx<'_> {
        WritableCx::new(self.cx(), key)
    }

    /// A readable stream by its key.
    fn readable(&mut self, key: ReadableKey) -> ReadableCx<'_> {
        ReadableCx::new(self.cx(), key)
    }

    /// Moves every byte that comes from one end to the other, at the pace of the slower one,
    /// and ends `to` when `from` has ended. The pipe owns both ends: an error or an early
    /// close of one destroys both. `done` is called once: after the last byte is out, or with
    /// the first cause after both ends are closed. A source that is paused is resumed.
    ///
    /// The pipe has one buffer for what `to` refused, and one for each transform. [`Cx::close`]
    /// ends it early. After a pipe has ended without an error you can use its connections again: it
    /// has not changed their other direction.
    fn pipe(
        &mut self,
        from: impl ReadEnd,
        to: impl WriteEnd,
        done: impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static,
    ) -> Result<PipeKey, TableFull> {
        self.pipeline(from, Vec::new(), to, done)
    }

    /// The same as [`pipe`](Streams::pipe), with transforms on the way.
    fn pipeline(
        &mut self,
        from: impl ReadEnd,
        through: Vec<Box<dyn Transform>>,
        to: impl WriteEnd,
        done: impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static,
    ) -> Result<PipeKey, TableFull> {
        let (from, to) = (Rc::new(from), Rc::new(to));
        pipe::open(&mut self.cx(), from, through, to, Box::new(done))
    }

    /// Joins two connections: what comes from one goes to the other, in both directions, each at the
    /// pace of its slower end. So this is a proxy in one line:
    ///
    /// ```text
    /// let target = client.connect(to, On::new());
    /// client.join(client_key, target, |_, result| println!("{result:?}"));
    /// ```
    ///
    /// The end of one side (FIN) passes over, and the other direction goes on. When both have ended,
    /// both connections are closed. An error of one, or its close, closes the other at once. Either
    /// may still be connecting: bytes wait meanwhile, up to its high-water mark.
    ///
    /// `done` is called once: when both directions are over, or with the first error, after both
    /// connections are closed. The error is seen from `a`: at [`PipeStage::Source`] it is one of
    /// `a`, at [`PipeStage::Sink`] one of `b`. The loop's table being full is an error like others;
    /// it has no call of its own. To end it early, destroy one of the two.
    ///
    /// Handlers stay, and get all but `on_data`; one that acts on `on_hangup`, `on_drain` or
    /// `on_end` should be replaced before. The chapter on
    /// [back-pressure](../tidegate/manual/back_pressure/index.html) has a proxy that answers its
    /// client when it has reached the target.
    ///
    /// [`PipeStage::Source`]: crate::PipeStage::Source
    /// [`PipeStage::Sink`]: crate::PipeStage::Sink
    fn join<A, B>(
        &mut self,
        a: A,
        b: B,
        done: impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static,
    ) where
        A: ReadEnd + WriteEnd,
        B: ReadEnd + WriteEnd,
    {
        join::join(&mut self.cx(), a, b, Box::new(done));
    }
}

impl<T: AsCx + ?Sized> Streams for T {}
