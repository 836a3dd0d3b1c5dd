//! [`Layer`]: what a loop keeps of its streams and pipes, and who owns what.
//!
//! What is done to them stands above: in `readable.rs`, `writable.rs` and `pipe.rs`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tidegate_loop::{Cx, Key};

use crate::ends::{PipeKey, ReadEnd, Transform, WriteEnd};
use crate::error::{PipeError, StreamError};
use crate::machine::read_queue::ReadQueue;
use crate::machine::write::WriteState;
use crate::user::sink::{Sink, WriteHandler};
use crate::user::source::{ReadHandler, Source};

/// The state of this crate in one loop.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) readables: BTreeMap<Key, Readable>,
    pub(crate) writables: BTreeMap<Key, Writable>,
    pub(crate) pipes: BTreeMap<Key, Pipe>,
}

/// What a readable and a writable stream have in common.
#[derive(Default)]
pub(crate) struct Common {
    /// The pipe that it is an end of.
    pub(crate) pipe: Option<PipeKey>,
    /// How it ended, once it has.
    pub(crate) over: Option<Result<(), StreamError>>,
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
}

/// The transforms and what each made last.
pub(crate) struct Through {
    pub(crate) stages: Vec<(Box<dyn Transform>, BytesMut)>,
    /// The one that runs.
    pub(crate) at: usize,
    pub(crate) limit: usize,
}
