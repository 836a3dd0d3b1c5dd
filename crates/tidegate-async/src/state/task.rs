//! [`TaskState`]: one task.
//!
//! | state | job | end | event | next |
//! |---|---|---|---|---|
//! | woken or waiting | here | none | a poll begins | polled |
//! | polled | away | none | pending | waiting, or closing if it was cancelled meanwhile |
//! | polled | away | none | ready, panic | over |
//! | woken or waiting | here | none | cancel, `close` | closing |
//! | closing | here | none | the closing phase | over: the future is dropped |
//! | over | its result | some | the result is taken, or nobody wants it | gone |
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_loop::Key;

use crate::event::{TaskEnd, TaskInfo};
use crate::key::TaskKey;
use crate::state::job::Job;
use crate::wake::ticket::Ticket;
use crate::wake::waiter::Waiter;

pub(crate) struct TaskState {
    pub(crate) key: Key,
    /// `None` while it is polled.
    pub(crate) job: Option<Pin<Box<dyn Job>>>,
    pub(crate) ticket: Arc<Ticket>,
    /// Who waits for its result.
    pub(crate) joiner: Waiter,
    pub(crate) end: Option<End>,
    /// Somebody has its [`Task`](crate::Task), and may ask for the result.
    pub(crate) is_wanted: bool,
    pub(crate) catch_panics: bool,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) spawned: &'static Location<'static>,
    pub(crate) polls: u64,
    /// When it was polled last, in the loop's nanoseconds.
    pub(crate) since: u64,
}

#[derive(Debug)]
pub(crate) enum End {
    Finished,
    Cancelled,
    /// With this message.
    Panicked(String),
}

impl End {
    pub(crate) fn how(&self) -> TaskEnd {
        match self {
            End::Finished => TaskEnd::Finished,
            End::Cancelled => TaskEnd::Cancelled,
            End::Panicked(_) => TaskEnd::Panicked,
        }
    }
}

impl TaskState {
    /// How many wakers of it others have.
    pub(crate) fn wakers(&self) -> usize {
        // Its ticket, its own waker, and its `Task`.
        let own = 1 + usize::from(self.job.is_some()) + usize::from(self.is_wanted);
        Arc::strong_count(&self.ticket).saturating_sub(own)
    }

    pub(crate) fn info(&self) -> TaskInfo {
        TaskInfo { key: TaskKey(self.key), name: self.name.clone(), spawned: self.spawned }
    }
}
