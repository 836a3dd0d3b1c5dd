//! Two ends that read and write are joined: a pipe in each direction, and one outcome for both.
//!
//! What a pipe does is in `pipe.rs`.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;

use tidegate_loop::{Cx, TableFull};

use crate::ends::{ReadEnd, WriteEnd};
use crate::error::{PipeError, PipeStage, StreamError};
use crate::run::call::caught;
use crate::run::layer::Done;
use crate::run::pipe;

/// What the two pipes share.
struct Joined {
    /// Pipes that are not over.
    open: u8,
    /// The first cause that is more than a close.
    error: Option<PipeError>,
    done: Option<Done>,
}

impl Joined {
    fn failed(&mut self, error: PipeError) {
        if self.error.as_ref().is_none_or(|first| first.cause.is_bare_close()) {
            self.error = Some(error);
        }
    }

    /// One pipe less; what to call if it was the last.
    fn one_over(&mut self) -> Option<(Done, Result<(), PipeError>)> {
        self.open = self.open.saturating_sub(1);
        if self.open > 0 {
            return None;
        }
        let result = self.error.take().map_or(Ok(()), Err);
        self.done.take().map(|done| (done, result))
    }
}

pub(crate) fn join<A, B>(cx: &mut Cx<'_>, a: A, b: B, done: Done)
where
    A: ReadEnd + WriteEnd,
    B: ReadEnd + WriteEnd,
{
    let (a, b) = (Rc::new(a), Rc::new(b));
    let joined = Rc::new(RefCell::new(Joined { open: 2, error: None, done: Some(done) }));
    let there = over(&joined, |stage| stage);
    let there = match pipe::open(cx, a.clone(), Vec::new(), b.clone(), there) {
        Ok(pipe) => pipe,
        Err(full) => {
            refuse(cx, &joined, full, a, b);
            return cx.owed_tick(move |cx| end(cx, &joined));
        }
    };
    let back = over(&joined, seen_from_there);
    if let Err(full) = pipe::open(cx, b.clone(), Vec::new(), a.clone(), back) {
        refuse(cx, &joined, full, a, b);
        let _ = cx.close(there);
    }
}

/// There is no room for one of the pipes: both ends are destroyed.
#[cold]
fn refuse<A: ReadEnd, B: WriteEnd>(
    cx: &mut Cx<'_>,
    joined: &RefCell<Joined>,
    full: TableFull,
    a: Rc<A>,
    b: Rc<B>,
) {
    let cause = StreamError::from(std::io::Error::from(full));
    let mut shared = joined.borrow_mut();
    shared.failed(PipeError { stage: PipeStage::Pipe, cause: cause.clone() });
    shared.open = 1;
    drop(shared);
    // An end of the user's may panic.
    let _ = caught(cx, |cx| a.destroy(cx, &cause));
    let _ = caught(cx, |cx| b.destroy(cx, &cause));
    cx.driver().bury((a, b));
}

/// The pipe of one direction is over.
fn over(joined: &Rc<RefCell<Joined>>, seen: fn(PipeStage) -> PipeStage) -> Done {
    let joined = joined.clone();
    Box::new(move |cx, result| {
        if let Err(PipeError { stage, cause }) = result {
            joined.borrow_mut().failed(PipeError { stage: seen(stage), cause });
        }
        end(cx, &joined);
    })
}

fn end(cx: &mut Cx<'_>, joined: &RefCell<Joined>) {
    let last = joined.borrow_mut().one_over();
    if let Some((done, result)) = last {
        done(cx, result);
    }
}

/// The source of the way back is the sink of the way there.
fn seen_from_there(stage: PipeStage) -> PipeStage {
    match stage {
        PipeStage::Source => PipeStage::Sink,
        PipeStage::Sink => PipeStage::Source,
        other => other,
    }
}
