//! [`TaskEvent`]: the events of tasks, for observers.
//!
//! ```text
//! Spawned { Polled }* Ended
//! ```
#![forbid(unsafe_code)]

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use tidegate_loop::{LayerEvent, OneLine, Value};

use crate::key::TaskKey;

/// An event of a task. It arrives as [`Event::Layer`](tidegate_loop::Event::Layer); downcast it.
///
/// ```
/// use tidegate_async::TaskEvent;
/// use tidegate_loop::{Event, Moment, Observer};
/// struct Slow;
/// impl Observer for Slow {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         if let Event::Layer(e) = event {
///             if let Some(TaskEvent::Polled { task, took, .. }) = e.as_any().downcast_ref() {
///                 if took.as_millis() > 10 {
///                     println!("{task} held the loop for {took:?}");
///                 }
///             }
///         }
///     }
/// }
/// # let _ = Slow;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TaskEvent {
    /// A task was spawned. It is polled later.
    Spawned {
        /// Which.
        task: TaskInfo,
    },
    /// A task was polled. The poll began `took` before this moment.
    Polled {
        /// Which.
        task: TaskInfo,
        /// How long it took.
        took: Duration,
        /// Whether the task is over with that.
        ready: bool,
    },
    /// A task is over.
    Ended {
        /// Which.
        task: TaskInfo,
        /// How.
        how: TaskEnd,
        /// How often it was polled.
        polls: u64,
    },
}

/// A task, for people: its name, if it has one, and where it was spawned.
///
/// ```
/// fn line(task: &tidegate_async::TaskInfo) -> String { task.to_string() } // 'ping' at src/main.rs:7
/// # let _ = line;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its key.
    pub key: TaskKey,
    /// Its name.
    pub name: Option<Cow<'static, str>>,
    /// Where it was spawned.
    pub spawned: &'static Location<'static>,
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "'{}' ", OneLine(name))?;
        }
        write!(f, "at {}:{}", self.spawned.file(), self.spawned.line())
    }
}

/// How a task ended.
///
/// ```
/// assert_eq!(tidegate_async::TaskEnd::Cancelled.to_string(), "cancelled");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TaskEnd {
    /// It returned.
    Finished,
    /// It was cancelled, or its handle was closed.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskEnd::Finished => "finished",
            TaskEnd::Cancelled => "cancelled",
            TaskEnd::Panicked => "panicked",
        })
    }
}

impl TaskEvent {
    /// The task.
    pub fn task(&self) -> &TaskInfo {
        match self {
            TaskEvent::Spawned { task }
            | TaskEvent::Polled { task, .. }
            | TaskEvent::Ended { task, .. } => task,
        }
    }
}

impl fmt::Display for TaskEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskEvent::Spawned { task } => write!(f, "task {task} spawned"),
            TaskEvent::Polled { task, took, .. } => write!(f, "task {task} polled, {took:.1?}"),
            TaskEvent::Ended { task, how, polls } => {
                write!(f, "task {task} {how} after {polls} polls")
            }
        }
    }
}

impl LayerEvent for TaskEvent {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn layer(&self) -> &'static str {
        "async"
    }

    fn name(&self) -> &'static str {
        match self {
            TaskEvent::Spawned { .. } => "spawned",
            TaskEvent::Polled { .. } => "polled task",
            TaskEvent::Ended { .. } => "task end",
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        let task = self.task();
        visit("task", Value::Handle { kind: "task", key: task.key.0 });
        if let Some(name) = &task.name {
            visit("name", Value::Str(name));
        }
        visit("spawned", Value::Text(&format_args!("{}", task.spawned)));
        match self {
            TaskEvent::Spawned { .. } => {}
            TaskEvent::Polled { took, ready, .. } => {
                visit("took", (*took).into());
                visit("ready", (*ready).into());
            }
            TaskEvent::Ended { how, polls, .. } => {
                visit("how", Value::Text(how));
                visit("polls", (*polls).into());
            }
        }
    }
}
