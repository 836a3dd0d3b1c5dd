//! The observer: typed events from every layer, as they happen, which name their own fields.
//!
//! A loop has at most one observer; a tuple makes one of several. It is called inline and has no
//! `Cx`, so it cannot change what it sees. Without an observer, an event costs a branch.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::one_line::OneLine;
use crate::phase::Phase;
use crate::store::key::Key;
use crate::store::readiness::Readiness;

/// When something happened.
///
/// ```
/// # use tidegate_loop::{Event, Loop, Moment, Observer};
/// struct Print;
/// impl Observer for Print {
///     fn event(&mut self, at: &Moment, event: &Event<'_>) {
///         println!("{:>6} us turn {} {}: {event}", at.elapsed.as_micros(), at.turn, at.phase);
///     }
/// }
/// let mut lp = Loop::new()?;
/// lp.observe(Print);
/// lp.run_nowait()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moment {
    /// The turn, counted from 1; 0 before the first.
    pub turn: u64,
    /// The phase of that turn.
    pub phase: Phase,
    /// Since the loop was made. Events that follow each other without work between them have the
    /// same moment.
    pub elapsed: Duration,
}

/// What happened. `Display` gives one line for people.
///
/// ```
/// use tidegate_loop::Event;
/// assert_eq!(Event::Poll { timeout: None, ready: 0 }.to_string(), "poll, blocking");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A turn began.
    Turn {
        /// Handles that were queued already: left over by a budget, or queued since the
        /// last ready pass.
        ready: usize,
    },
    /// A turn is over. It began `took` before this moment.
    TurnEnd {
        /// How long it took, waiting included.
        took: Duration,
    },
    /// The loop is about to ask the kernel. `None` blocks until something
    /// happens; zero does not block.
    Poll {
        /// The longest wait.
        timeout: Option<Duration>,
        /// Handles that are queued. If there are any, the poll does not wait.
        ready: usize,
    },
    /// The kernel answered.
    Polled {
        /// Events in this batch.
        events: usize,
        /// How long it took to answer.
        waited: Duration,
        /// Handles that are queued now, for this turn's ready pass.
        ready: usize,
    },
    /// A phase is over. It began `took` before this moment.
    PhaseEnd {
        /// Which.
        phase: Phase,
        /// How long it took, callbacks included; of the poll phase, the wait.
        took: Duration,
    },
    /// A handle's turn in the ready pass.
    Ready {
        /// Which.
        key: Key,
        /// Its kind's name.
        kind: &'static str,
        /// What is known of it.
        bits: Readiness,
    },
    /// A handle is about to be called, of whatever kind and in whatever phase. What comes up to
    /// the next [`Called`](Event::Called) happened in this call, or in its ticks. After a call
    /// that panics there is none.
    Calling {
        /// Which.
        key: Key,
        /// Its kind's name.
        kind: &'static str,
    },
    /// A handle was called. [`Calling`](Event::Calling) was `took` before this moment.
    Called {
        /// Which.
        key: Key,
        /// Its kind's name.
        kind: &'static str,
        /// How long it took, with the ticks after it.
        took: Duration,
    },
    /// An event of a layer above; see its documentation for the type to
    /// downcast to.
    Layer(&'a dyn LayerEvent),
}

impl Event<'_> {
    /// The layer that it is of: `loop`, or what [`LayerEvent::layer`] says.
    pub fn layer(&self) -> &'static str {
        match self {
            Event::Layer(e) => e.layer(),
            _ => "loop",
        }
    }

    /// A short name that does not change.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Turn { .. } => "turn",
            Event::TurnEnd { .. } => "turn end",
            Event::Poll { .. } => "poll",
            Event::Polled { .. } => "polled",
            Event::PhaseEnd { .. } => "phase end",
            Event::Ready { .. } => "ready",
            Event::Calling { .. } => "calling",
            Event::Called { .. } => "called",
            Event::Layer(e) => e.name(),
        }
    }

    /// Shows each of its fields: a name that does not change, and the value.
    ///
    /// ```
    /// use tidegate_loop::{Event, Value};
    /// let mut found = Vec::new();
    /// Event::Turn { ready: 2 }.fields(&mut |name, value| found.push((name, value.to_string())));
    /// assert_eq!(found, [("ready", "2".to_owned())]);
    /// ```
    pub fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        match *self {
            Event::Turn { ready } => visit("ready", ready.into()),
            Event::TurnEnd { took } => visit("took", took.into()),
            Event::Poll { timeout, ready } => {
                visit("ready", ready.into());
                if let Some(timeout) = timeout {
                    visit("timeout", timeout.into());
                }
            }
            Event::Polled { events, waited, ready } => {
                visit("events", events.into());
                visit("waited", waited.into());
                visit("ready", ready.into());
            }
            Event::PhaseEnd { phase, took } => {
                visit("of", Value::Text(&phase));
                visit("took", took.into());
            }
            Event::Ready { key, kind, bits } => {
                visit("handle", Value::Handle { kind, key });
                visit("kind", kind.into());
                visit("bits", Value::Text(&format_args!("{bits:?}")));
            }
            Event::Calling { key, kind } => {
                visit("handle", Value::Handle { kind, key });
                visit("kind", kind.into());
            }
            Event::Called { key, kind, took } => {
                visit("handle", Value::Handle { kind, key });
                visit("kind", kind.into());
                visit("took", took.into());
            }
            Event::Layer(e) => e.fields(visit),
        }
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Turn { ready: 0 } => f.write_str("turn"),
            Event::Turn { ready } => write!(f, "turn, {ready} queued already"),
            Event::TurnEnd { took } => write!(f, "turn took {took:?}"),
            Event::Poll { timeout: None, .. } => f.write_str("poll, blocking"),
            Event::Poll { timeout: Some(t), .. } if t.is_zero() => {
                f.write_str("poll, not blocking")
            }
            Event::Poll { timeout: Some(t), .. } => write!(f, "poll, at most {t:?}"),
            Event::Polled { events, .. } => write!(f, "polled {events}"),
            Event::PhaseEnd { phase, took } => write!(f, "{phase} took {took:?}"),
            Event::Ready { key, kind, bits } => write!(f, "ready {kind} {key:?} {bits:?}"),
            Event::Calling { key, kind } => write!(f, "calling {kind} {key:?}"),
            Event::Called { key, kind, took } => write!(f, "{kind} {key:?} took {took:?}"),
            Event::Layer(e) => OneLine(e).fmt(f),
        }
    }
}

/// An event type of a layer above the loop. Observers that know the type downcast it; all others
/// write down its layer, its name and its fields.
///
/// ```
/// use tidegate_loop::{LayerEvent, Value};
/// #[derive(Debug)]
/// struct Opened { gate: u32 }
/// impl std::fmt::Display for Opened {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "gate {} opened", self.gate)
///     }
/// }
/// impl LayerEvent for Opened {
///     fn as_any(&self) -> &dyn std::any::Any { self }
///     fn layer(&self) -> &'static str { "gates" }
///     fn name(&self) -> &'static str { "opened" }
///     fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
///         visit("gate", self.gate.into());
///     }
/// }
/// let e: &dyn LayerEvent = &Opened { gate: 3 };
/// assert!(e.as_any().is::<Opened>());
/// e.fields(&mut |name, value| assert_eq!((name, value.to_string()), ("gate", "3".to_owned())));
/// ```
pub trait LayerEvent: fmt::Debug + fmt::Display {
    /// For `downcast_ref`.
    fn as_any(&self) -> &dyn Any;

    /// The name of the layer. By default `other`.
    fn layer(&self) -> &'static str {
        "other"
    }

    /// A short name that does not change. By default `event`.
    fn name(&self) -> &'static str {
        "event"
    }

    /// Shows each of its fields: a name that does not change, and the value. A field that has no
    /// value is left out. By default there is one, `text`: what `Display` writes.
    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        visit("text", Value::Text(&format_args!("{self}")));
    }
}

/// The value of a field of an event. `Display` writes it for people.
///
/// ```
/// use std::time::Duration;
/// use tidegate_loop::Value;
/// assert_eq!(Value::from(Duration::from_millis(5)).to_string(), "5ms");
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A number.
    U64(u64),
    /// A number that can be negative.
    I64(i64),
    /// Yes or no.
    Bool(bool),
    /// A text. It can be another's, as the name of a host.
    Str(&'a str),
    /// A text that is written only if somebody wants it.
    Text(&'a dyn fmt::Display),
    /// A time, which observers that write numbers give in nanoseconds.
    Duration(Duration),
    /// A handle.
    Handle {
        /// Its kind's name.
        kind: &'a str,
        /// Its key.
        key: Key,
    },
    /// An address.
    Addr(SocketAddr),
}

macro_rules! value_from {
    ($($of:ty, $v:ident => $value:expr;)*) => {
        $(impl<'a> From<$of> for Value<'a> {
            fn from($v: $of) -> Value<'a> {
                $value
            }
        })*
    };
}

value_from! {
    u64, v => Value::U64(v);
    u32, v => Value::U64(v.into());
    usize, v => Value::U64(v as u64);
    i64, v => Value::I64(v);
    i32, v => Value::I64(v.into());
    bool, v => Value::Bool(v);
    &'a str, v => Value::Str(v);
    Duration, v => Value::Duration(v);
    SocketAddr, v => Value::Addr(v);
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::U64(v) => v.fmt(f),
            Value::I64(v) => v.fmt(f),
            Value::Bool(v) => v.fmt(f),
            Value::Str(v) => OneLine(v).fmt(f),
            Value::Text(v) => OneLine(v).fmt(f),
            Value::Duration(v) => write!(f, "{v:?}"),
            Value::Handle { kind, key } => write!(f, "{kind} {key:?}"),
            Value::Addr(v) => v.fmt(f),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Gets every event of a loop, inline. See [`Loop::observe`](crate::Loop::observe).
///
/// ```
/// use tidegate_loop::{Event, Moment, Observer};
/// #[derive(Default)]
/// struct Turns(u64);
/// impl Observer for Turns {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         if let Event::Turn { .. } = event { self.0 += 1 }
///     }
/// }
/// ```
pub trait Observer: 'static {
    /// Called for each event as it happens. Keep it short; it cannot change the loop.
    fn event(&mut self, at: &Moment, event: &Event<'_>);
}

/// Several observers, called in this order. If one panics, those after it do not get this event,
/// and the loop drops all of them.
///
/// ```
/// use tidegate_loop::{Event, Loop, Moment, Observer};
/// struct Count(&'static str, u64);
/// impl Observer for Count {
///     fn event(&mut self, _: &Moment, _: &Event<'_>) { self.1 += 1 }
/// }
/// let mut lp = Loop::new()?;
/// lp.observe((Count("one", 0), Count("another", 0)));
/// # Ok::<(), std::io::Error>(())
/// ```
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        self.0.event(at, event);
        self.1.event(at, event);
    }
}

impl<A: Observer, B: Observer, C: Observer> Observer for (A, B, C) {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        self.0.event(at, event);
        self.1.event(at, event);
        self.2.event(at, event);
    }
}

/// An optional observer.
impl<O: Observer> Observer for Option<O> {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        if let Some(observer) = self {
            observer.event(at, event);
        }
    }
}

impl<O: Observer + ?Sized> Observer for Box<O> {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        (**self).event(at, event);
    }
}
