//! [`Recorder`]: the observer of the studied loop. It writes down what happens, as small records on the
//! [`Tape`](crate::live::model::tape::Tape), and what the loop does right now, so that another thread
//! can tell while a callback blocks. It makes no turns of them: the page's thread does.
//!
//! Its fields are few, and most events cost it a few stores: it is called more than a dozen times in
//! each turn.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::Key;
use tidegate::net::{NetEvent, ServerEvent};
use tidegate::observe::{Event, Id, LayerEvent, Moment, Observer, OneLine, Record};

use super::shared::{Shared, Slow, WAITS};
use crate::live::model::entry::{Entry, Handle};
use crate::live::model::fold::{BATCHES, CALLS};
use crate::live::model::lines::is_worth_a_note;
use crate::live::model::ring::Note;
use crate::live::model::turn::Bits;

/// A call that takes at least so long is reported as one that blocks the loop.
const SLOW: Duration = Duration::from_millis(50);

/// Notes in one second of the loop's clock; the others are counted in the last.
const NOTES: u32 = 50;

pub(crate) struct Recorder {
    shared: Arc<Shared>,
    /// The page stops the loop between phases: also those that took no time are written down.
    steps: Rc<Cell<bool>>,
    /// A turn has begun, and is not over; and its phases that are.
    open: bool,
    place: usize,
    /// Handles that were queued when it began.
    before: usize,
    /// The handle that is called, and its bits if it was ready.
    who: Handle,
    bits: Bits,
    calls: usize,
    batches: usize,
    /// Names that have a number, and the number of each.
    names: Vec<(&'static str, u8)>,
    /// The second that runs, and the notes in it.
    second: u64,
    notes: u32,
}

impl Recorder {
    pub(crate) fn new(steps: Rc<Cell<bool>>, shared: Arc<Shared>) -> Recorder {
        Recorder {
            shared,
            steps,
            open: false,
            place: 0,
            before: 0,
            who: Handle::default(),
            bits: Bits::default(),
            calls: 0,
            batches: 0,
            names: Vec::new(),
            second: 0,
            notes: 0,
        }
    }

    fn push(&self, entry: Entry) {
        self.shared.tape.push(entry);
    }

    fn number(&mut self, name: &'static str, key: Key) -> u8 {
        // A name is found by its address; one that has two gets two numbers.
        match self.names.iter().find(|(known, _)| std::ptr::eq(*known, name)) {
            Some((_, number)) => *number,
            None => self.new_number(name, key),
        }
    }

    #[cold]
    fn new_number(&mut self, name: &'static str, key: Key) -> u8 {
        let number = self.shared.kinds().add(name, key);
        if number > 0 {
            self.names.push((name, number));
        }
        number
    }

    fn turn(&mut self, at: &Moment, before: usize) {
        (self.open, self.place, self.before) = (true, 0, before);
        (self.calls, self.batches) = (0, 0);
        let now = nanos(at.elapsed);
        self.shared
            .zero
            .get_or_init(|| Instant::now().checked_sub(at.elapsed).unwrap_or_else(Instant::now));
        self.push(Entry::Turn { number: at.turn, at: now });
    }

    fn called(&mut self, at: &Moment, kind: &'static str, key: Key, took: Duration) {
        let bits = std::mem::take(&mut self.bits);
        if self.open {
            if self.calls < CALLS {
                self.push(Entry::Called {
                    who: self.who,
                    bits,
                    place: self.place,
                    took: nanos(took),
                });
            }
            self.calls += 1;
        }
        if took >= SLOW {
            self.slow(at, Id::of(kind, key), kind, took);
        }
    }

    #[cold]
    fn slow(&self, at: &Moment, who: Id, kind: &'static str, took: Duration) {
        let slow = Slow { turn: at.turn, who, kind, took };
        let mut doing = self.shared.doing();
        doing.slow = Some(slow);
        if doing.longest.is_none_or(|l| l.took < took) {
            doing.longest = Some(slow);
        }
    }

    #[cold]
    fn of_layer(&mut self, at: &Moment, e: &dyn LayerEvent) {
        if let Some(NetEvent::Server(of, ServerEvent::AcceptBatch { accepted, stopped })) =
            e.as_any().downcast_ref()
        {
            if self.open && self.batches < BATCHES {
                let key = of.key.into();
                let server = Handle::new(self.number("server", key), key);
                let stopped = self.number(stopped.name(), key);
                self.push(Entry::Batch { server, accepted: (*accepted).into(), stopped });
            }
            self.batches += 1;
        } else if is_worth_a_note(e.name()) {
            self.note(at, e);
        }
    }

    /// Foreign texts in it are on one line, and the page shows them as text.
    fn note(&mut self, at: &Moment, e: &dyn LayerEvent) {
        if std::mem::replace(&mut self.second, at.elapsed.as_secs()) != at.elapsed.as_secs() {
            self.notes = 0;
        }
        self.notes += 1;
        let text = match self.notes {
            ..NOTES => {
                let record = Record::new(at, &Event::Layer(e));
                let who = ["conn", "server"].iter().find_map(|f| record.get(f));
                let who = who.map_or(String::new(), |who| format!("{who}: "));
                match e.as_any().downcast_ref() {
                    Some(NetEvent::Socket(_, event)) => format!("{who}{}", OneLine(event)),
                    Some(NetEvent::Server(_, event)) => format!("{who}{}", OneLine(event)),
                    _ => format!("{who}{}", OneLine(e)),
                }
            }
            NOTES => "more than 50 notes in this second: the others are left out".to_owned(),
            _ => return,
        };
        let at_ns = nanos(at.elapsed);
        self.shared.note(Note { turn: at.turn, at: at_ns, phase: at.phase.name(), text });
    }
}

/// Up to 500 years.
fn nanos(d: Duration) -> u64 {
    d.as_secs().wrapping_mul(1_000_000_000).wrapping_add(d.subsec_nanos().into())
}

impl Observer for Recorder {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        match *event {
            // Most events, apart from the others: it needs no registers that must be kept.
            Event::PhaseEnd { took, .. } if took.is_zero() && !self.steps.get() => self.place += 1,
            _ => self.record(at, event),
        }
    }
}

impl Recorder {
    #[inline(never)]
    fn record(&mut self, at: &Moment, event: &Event<'_>) {
        match *event {
            Event::PhaseEnd { took, .. } => {
                if self.open {
                    self.push(Entry::Phase { place: self.place, took: nanos(took) });
                }
                self.place += 1;
            }
            Event::Turn { ready } => self.turn(at, ready),
            Event::Poll { .. } => self.shared.tape.set_now(WAITS, nanos(at.elapsed)),
            Event::Polled { events, waited, ready } => self.push(Entry::Polled {
                events: events as u64,
                queued: ready as u64,
                before: self.before as u64,
                waited: nanos(waited),
            }),
            Event::Ready { bits, .. } => self.bits = Bits::from(bits),
            Event::Calling { key, kind } => {
                self.who = Handle::new(self.number(kind, key), key);
                self.shared.tape.set_now(self.who.word(), nanos(at.elapsed));
            }
            Event::Called { key, kind, took } => self.called(at, kind, key, took),
            Event::TurnEnd { took } if self.open => {
                self.open = false;
                let left_out = self.calls.saturating_sub(CALLS) as u64;
                self.push(Entry::End { took: nanos(took), left_out });
            }
            Event::Layer(e) => self.of_layer(at, e),
            _ => {}
        }
    }
}
