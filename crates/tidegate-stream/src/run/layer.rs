//! [`Layer`]: what a loop keeps of its streams and pipes, and who owns what.
//!
//! What is done to them stands above: in `readable.rs`, `writable.rs` and `pipe.rs`.
#![forbid(unsafe_code)]

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use slab::Slab;
use tidegate_loop::kind::{Driver, LayerId, LayerLimits};
use tidegate_loop::{Cx, Key, LimitError, TimerKey};

use crate::ends::{PipeKey, ReadEnd, WriteEnd};
use crate::error::{PipeError, StreamError};
use crate::limits::StreamLimits;
use crate::machine::read_queue::ReadQueue;
use crate::machine::write::WriteState;
use crate::run::through::Through;
use crate::user::sink::{Sink, WriteHandler};
use crate::user::source::{ReadHandler, Source};

/// The layer of this crate.
pub(crate) static STREAMS: LayerId<Layer> = LayerId::new(Layer::default);

/// The state of this crate in one loop. The data word of a handle is the place of its row.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) limits: StreamLimits,
    pub(crate) readables: Slab<Readable>,
    pub(crate) writables: Slab<Writable>,
    pub(crate) pipes: Slab<Pipe>,
}

impl LayerLimits for StreamLimits {
    fn check(&self) -> Result<(), LimitError> {
        self.none_is_zero()
    }

    fn set(&self, cx: &mut Cx<'_>) {
        cx.layer(&STREAMS).0.limits = self.clone();
    }
}

impl Layer {
    pub(crate) fn readable(&mut self, d: &Driver<'_>, key: Key) -> Option<&mut Readable> {
        self.readables.get_mut(place(d, key)?)
    }

    pub(crate) fn writable(&mut self, d: &Driver<'_>, key: Key) -> Option<&mut Writable> {
        self.writables.get_mut(place(d, key)?)
    }

    pub(crate) fn pipe(&mut self, d: &Driver<'_>, key: Key) -> Option<&mut Pipe> {
        self.pipes.get_mut(place(d, key)?)
    }
}

/// Where the row of a stream or pipe is.
pub(crate) fn place(d: &Driver<'_>, key: Key) -> Option<usize> {
    d.data(STREAMS.owner(), key).map(|place| place as usize)
}

/// What a readable and a writable stream have in common.
pub(crate) struct Common {
    pub(crate) key: Key,
    /// The pipe that it is an end of.
    pub(crate) pipe: Option<PipeKey>,
    /// How it ended, once it has.
    pub(crate) over: Option<Result<(), StreamError>>,
}

impl Common {
    pub(crate) fn new(key: Key) -> Common {
        Common { key, pipe: None, over: None }
    }
}

/// A readable stream.
pub(crate) struct Readable {
    pub(crate) read: ReadQueue,
    /// Each `None` while it is called.
    pub(crate) source: Option<Box<dyn Source>>,
    pub(crate) reader: Option<Box<dyn ReadHandler>>,
    pub(crate) common: Common,
}

/// What the sink of a writable stream is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Busy {
    Idle,
    /// The sink has this many bytes.
    Writing(usize),
    Finishing,
}

/// A writable stream.
pub(crate) struct Writable {
    pub(crate) write: WriteState,
    pub(crate) busy: Busy,
    pub(crate) gather: usize,
    /// The list that is lent to the sink; reused.
    pub(crate) pieces: Vec<Bytes>,
    /// Each `None` while it is called.
    pub(crate) sink: Option<Box<dyn Sink>>,
    pub(crate) handler: Option<Box<dyn WriteHandler>>,
    pub(crate) common: Common,
}

/// Where a pipe stands: see the table in `pipe.rs`.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Flowing,
    Full,
    Stuck,
    Ending,
    Done,
    Failing(PipeError),
}

impl State {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            State::Flowing => "flowing",
            State::Full => "its sink is full",
            State::Stuck => "its sink refuses",
            State::Ending => "its source has ended",
            State::Done => "done",
            State::Failing(_) => "failing",
        }
    }
}

/// What is called when the pipe is over.
pub(crate) type Done = Box<dyn FnOnce(&mut Cx<'_>, Result<(), PipeError>)>;

/// A pipe.
pub(crate) struct Pipe {
    pub(crate) state: State,
    /// Each `None` once it is closed.
    pub(crate) source: Option<Rc<dyn ReadEnd>>,
    pub(crate) sink: Option<Rc<dyn WriteEnd>>,
    /// `None` while it runs, and if there are no transforms.
    pub(crate) through: Option<Through>,
    /// The buffer for what the sink refused; reused.
    pub(crate) spare: BytesMut,
    pub(crate) done: Option<Done>,
    pub(crate) hold: Hold,
    pub(crate) end: SourceEnd,
}

/// Whether a transform holds bytes back; the source is paused meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    No,
    Until(TimerKey),
    /// The time has passed: it goes on in the pending phase, or when the sink has room.
    Due,
}

/// How far a pipe is with its source's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SourceEnd {
    NotYet,
    /// It has ended; the transforms are to be flushed.
    Ended,
    Flushed,
}
