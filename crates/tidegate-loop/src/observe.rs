//! The observer: typed events from every layer, as they happen.
//!
//! A loop has at most one observer; a tuple makes one of several. It is called inline and has no
//! `Cx`, so it cannot change what it sees. Without an observer, an event costs a branch.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
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
    /// Since the loop was made.
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
    /// A handle was called, of whatever kind and in whatever phase. The call began `took`
    /// before this moment.
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
            Event::Called { key, kind, took } => write!(f, "{kind} {key:?} took {took:?}"),
            Event::Layer(e) => OneLine(e).fmt(f),
        }
    }
}

/// An event type of a layer above the loop.
///
/// ```
/// use tidegate_loop::LayerEvent;
/// #[derive(Debug)]
/// struct Opened;
/// impl std::fmt::Display for Opened {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         f.write_str("opened")
///     }
/// }
/// impl LayerEvent for Opened {
///     fn as_any(&self) -> &dyn std::any::Any { self }
/// }
/// let e: &dyn LayerEvent = &Opened;
/// assert!(e.as_any().is::<Opened>());
/// ```
pub trait LayerEvent: fmt::Debug + fmt::Display {
    /// For `downcast_ref`.
    fn as_any(&self) -> &dyn Any;
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
