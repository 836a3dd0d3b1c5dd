//! The events of pipes, for the loop's observer. Events of connections are in the layer above.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;

use tidegate_loop::{LayerEvent, Value};

use crate::ends::PipeKey;
use crate::error::PipeError;

/// An event of pipes. It arrives as [`Event::Layer`](tidegate_loop::Event::Layer); downcast
/// it.
///
/// ```
/// use tidegate_loop::{Event, Moment, Observer};
/// use tidegate_stream::{PipeEvent, StreamEvent};
/// struct Stalls(u64);
/// impl Observer for Stalls {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         if let Event::Layer(e) = event {
///             if let Some(StreamEvent::Pipe(_, PipeEvent::Full)) = e.as_any().downcast_ref() {
///                 self.0 += 1;
///             }
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StreamEvent {
    /// Of a pipe.
    Pipe(PipeKey, PipeEvent),
}

/// What happened to a pipe.
///
/// ```
/// assert_eq!(tidegate_stream::PipeEvent::Full.name(), "pipe full");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PipeEvent {
    /// It was made.
    Opened,
    /// Its sink takes no more for now: its source is paused.
    Full,
    /// Its sink has drained: its source goes on.
    Flowing,
    /// Its source has ended, and it ends its sink.
    Ending,
    /// It failed, with this first cause, and closes both ends.
    Failing(PipeError),
    /// It is over, and `done` is called.
    Closed(Result<(), PipeError>),
}

impl PipeEvent {
    /// A short name that does not change.
    pub fn name(&self) -> &'static str {
        match self {
            PipeEvent::Opened => "pipe opened",
            PipeEvent::Full => "pipe full",
            PipeEvent::Flowing => "pipe flowing",
            PipeEvent::Ending => "pipe ending",
            PipeEvent::Failing(_) => "pipe failing",
            PipeEvent::Closed(_) => "pipe closed",
        }
    }
}

impl LayerEvent for StreamEvent {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn layer(&self) -> &'static str {
        "stream"
    }

    fn name(&self) -> &'static str {
        let StreamEvent::Pipe(_, event) = self;
        event.name()
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        let StreamEvent::Pipe(pipe, event) = self;
        visit("pipe", Value::Handle { kind: "pipe", key: (*pipe).into() });
        if let PipeEvent::Failing(e) | PipeEvent::Closed(Err(e)) = event {
            visit("error", Value::Text(e));
        }
    }
}

impl fmt::Display for StreamEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StreamEvent::Pipe(_, event) = self;
        match event {
            PipeEvent::Failing(e) | PipeEvent::Closed(Err(e)) => write!(f, "{}: {e}", event.name()),
            _ => f.write_str(event.name()),
        }
    }
}
