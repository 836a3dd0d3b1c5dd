//! How a stream or a pipe ended before its time.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::hash::Hash;
use std::mem::discriminant;
use std::sync::Arc;

use tidegate_loop::OneLine;

/// Any error type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a stream closed before its end. It is cheap to clone: everything that waited fails with the
/// same cause.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_stream::StreamError;
/// let e = StreamError::from(std::io::Error::other("the disk is gone"));
/// assert_eq!(e.clone().to_string(), "failed: the disk is gone");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StreamError {
    /// Its source, its sink or its connection failed.
    Failed(Arc<dyn Error + Send + Sync>),
    /// `destroy` was called.
    Destroyed,
    /// It closed without an error, but before it had ended.
    Premature,
    /// It was closed already.
    Closed,
    /// It is an end of another pipe.
    Piped,
    /// More was queued than its limit allows.
    Limit {
        /// Bytes of memory that were queued.
        queued: usize,
        /// The limit.
        limit: usize,
    },
    /// One of its callbacks panicked.
    Panicked,
    /// Its sink completed one write twice.
    CompletedTwice,
}

impl StreamError {
    /// Whether it only says that the stream was closed, and not why. If there is another cause,
    /// that one is kept.
    pub fn is_bare_close(&self) -> bool {
        matches!(self, StreamError::Destroyed | StreamError::Premature | StreamError::Closed)
    }

    /// What errors of one kind have in common, for the log.
    pub(crate) fn alike(&self) -> impl Hash {
        let io = match self {
            StreamError::Failed(e) => e.downcast_ref::<std::io::Error>(),
            _ => None,
        };
        (discriminant(self), io.map(|e| (e.kind(), e.raw_os_error())))
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Failed(e) => write!(f, "failed: {}", OneLine(e)),
            StreamError::Destroyed => f.write_str("was destroyed"),
            StreamError::Premature => f.write_str("closed before its end"),
            StreamError::Closed => f.write_str("was over already"),
            StreamError::Piped => f.write_str("is an end of another pipe"),
            StreamError::Limit { queued, limit } => {
                write!(f, "queued {queued} bytes, more than the limit of {limit}")
            }
            StreamError::Panicked => f.write_str("ended by a panic of its callback"),
            StreamError::CompletedTwice => f.write_str("completed one write twice"),
        }
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StreamError::Failed(e) => Some(&**e),
            _ => None,
        }
    }
}

impl From<BoxError> for StreamError {
    fn from(e: BoxError) -> StreamError {
        StreamError::Failed(e.into())
    }
}

impl From<std::io::Error> for StreamError {
    fn from(e: std::io::Error) -> StreamError {
        StreamError::Failed(Arc::new(e))
    }
}

/// The part of a pipe that was the first to fail.
///
/// ```
/// assert_eq!(tidegate_stream::PipeStage::Transform(0).to_string(), "transform 0");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PipeStage {
    /// Where the bytes come from.
    Source,
    /// What changes them on the way, counted from 0.
    Transform(usize),
    /// Where they go.
    Sink,
    /// The pipe itself: it was closed.
    Pipe,
}

impl fmt::Display for PipeStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PipeStage::Source => f.pad("source"),
            PipeStage::Transform(n) => write!(f, "transform {n}"),
            PipeStage::Sink => f.pad("sink"),
            PipeStage::Pipe => f.pad("pipe"),
        }
    }
}

/// Why a pipe failed: the first cause, and where.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_stream::{PipeError, PipeStage, StreamError};
/// let e = PipeError { stage: PipeStage::Sink, cause: StreamError::Premature };
/// assert_eq!(e.to_string(), "the pipe's sink closed before its end");
/// ```
#[derive(Clone, Debug)]
pub struct PipeError {
    /// Where.
    pub stage: PipeStage,
    /// Why.
    pub cause: StreamError,
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            PipeStage::Pipe => write!(f, "the pipe {}", self.cause),
            stage => write!(f, "the pipe's {stage} {}", self.cause),
        }
    }
}

impl Error for PipeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}
