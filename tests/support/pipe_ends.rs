//! Ends of pipes: a source that is silent, a sink that keeps.
#![allow(dead_code, unreachable_pub)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

/// Gives nothing until the test pushes.
pub struct Quiet;

impl Source for Quiet {
    fn read(&mut self, _: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

pub type Kept = Rc<RefCell<Vec<u8>>>;

/// Keeps what it gets; done with it when the test says so, or at once.
pub struct Keep {
    pub all: Kept,
    pub later: bool,
}

impl Sink for Keep {
    fn write(&mut self, _: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError> {
        self.all.borrow_mut().extend(chunks.concat());
        Ok(if self.later { Progress::Later } else { Progress::Done })
    }
}

/// Turns until the loop would wait.
pub fn settle(lp: &mut Loop) {
    while lp.run_nowait().unwrap() && lp.backend_timeout() == Some(Duration::ZERO) {}
}

pub fn keep(lp: &mut Loop, later: bool, mark: usize) -> (WritableKey, Kept) {
    let all = Kept::default();
    let o = WritableOptions::new().high_water_mark(mark);
    (lp.open_writable(o, Keep { all: all.clone(), later }, ()).unwrap(), all)
}

pub fn quiet(lp: &mut Loop) -> ReadableKey {
    lp.open_readable(ReadableOptions::new(), Quiet, ()).unwrap()
}

/// Logs how a pipe ended.
pub fn done(log: &Log) -> impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static {
    let log = log.clone();
    move |_, r| {
        log.add(match r {
            Ok(()) => "done".into(),
            Err(e) => e.to_string(),
        })
    }
}
