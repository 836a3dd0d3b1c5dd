//! What a pipe connects: its key, its two ends, and what may change the bytes between them.
//!
//! Definitions only: what a pipe does stands in `run/pipe.rs`.
#![forbid(unsafe_code)]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate_loop::{Cx, Key};

use crate::error::{BoxError, StreamError};
use crate::machine::flow::Flow;

/// Names a pipe. Its methods are for implementations of [`ReadEnd`] and [`WriteEnd`]: each reports
/// to the pipe what happened at that end.
///
/// ```
/// assert_eq!(size_of::<Option<tidegate_stream::PipeKey>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PipeKey(pub(crate) Key);

impl From<PipeKey> for Key {
    fn from(k: PipeKey) -> Key {
        k.0
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
    /// Changes `chunk` and appends the result to `out`: nothing yet, fewer bytes, or more.
    /// The result is given to the next stage at once. An error ends the pipe.
    fn transform(
        &mut self,
        cx: &mut Cx<'_>,
        chunk: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), BoxError>;

    /// How long it holds bytes back that it got: asked after each call. The pipe pauses its source
    /// for this time, and then calls [`go_on`](Transform::go_on). By default it holds nothing back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bytes::BytesMut;
    /// use tidegate_loop::Cx;
    /// use tidegate_stream::{BoxError, Transform};
    /// /// Each chunk comes a second late.
    /// struct Late(BytesMut);
    /// impl Transform for Late {
    ///     fn transform(&mut self, _: &mut Cx<'_>, chunk: &[u8], _: &mut BytesMut) -> Result<(), BoxError> {
    ///         self.0.extend_from_slice(chunk);
    ///         Ok(())
    ///     }
    ///     fn wait(&self) -> Option<Duration> {
    ///         (!self.0.is_empty()).then_some(Duration::from_secs(1))
    ///     }
    ///     fn go_on(&mut self, _: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
    ///         out.unsplit(self.0.split());
    ///         Ok(())
    ///     }
    /// }
    /// # let _: Box<dyn Transform> = Box::new(Late(BytesMut::new()));
    /// ```
    fn wait(&self) -> Option<Duration> {
        None
    }

    /// The time has passed: appends what need not wait any longer.
    fn go_on(&mut self, cx: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        let _ = (cx, out);
        Ok(())
    }

    /// There are no more chunks, and it holds nothing back: appends what is left.
    fn flush(&mut self, cx: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        let _ = (cx, out);
        Ok(())
    }
}

/// What a pipe can read from: a key of a readable stream, or of a connection. Your own
/// implementation reports what happens with the methods of [`PipeKey`].
///
/// The pipe calls these methods from the loop, and also inside
/// [`Streams::pipe`](crate::Streams::pipe) and [`Cx::close`]. If one panics, this end has failed:
/// both ends are destroyed, `done` gets [`StreamError::Panicked`], and the panic leaves `run` after
/// that. An end that panics in `attach` or in `destroy` counts as closed.
///
/// ```
/// fn from<E: tidegate_stream::ReadEnd>(end: E) {}
/// # let _ = from::<tidegate_stream::ReadableKey>;
/// ```
pub trait ReadEnd: 'static {
    /// From now on this end gives its bytes to the pipe, and reports its end and its close.
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError>;
    /// Gives no more bytes for now.
    fn pause(&self, cx: &mut Cx<'_>);
    /// Goes on.
    fn resume(&self, cx: &mut Cx<'_>);
    /// Ends it for this reason. Then it calls [`PipeKey::source_closed`], once.
    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError);
}

/// What a pipe can write to: a key of a writable stream, or of a connection. Your own
/// implementation works as for a [`ReadEnd`].
///
/// ```
/// fn to<E: tidegate_stream::WriteEnd>(end: E) {}
/// # let _ = to::<tidegate_stream::WritableKey>;
/// ```
pub trait WriteEnd: 'static {
    /// From now on this end reports its drain, its finish and its close to the pipe. Returns
    /// whether it takes bytes now.
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<Flow, StreamError>;
    /// Takes as much of `data` as it can without keeping any of it; returns how many bytes.
    fn try_write(&self, cx: &mut Cx<'_>, data: &[u8]) -> usize {
        let _ = (cx, data);
        0
    }
    /// Takes `data` and keeps it without a copy.
    fn write(&self, cx: &mut Cx<'_>, data: Bytes) -> Flow;
    /// No more bytes come.
    fn end(&self, cx: &mut Cx<'_>);
    /// Ends it for this reason. Then it calls [`PipeKey::sink_closed`], once.
    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError);
}
