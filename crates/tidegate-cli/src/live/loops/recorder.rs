//! [`Recorder`]: the observer of the studied loop. It folds events into turns, and says what the loop
//! does right now, so that another thread can tell while a callback blocks.
//!
//! It makes no [`Record`](tidegate::observe::Record) of the loop's own events: they come a dozen
//! times in each turn, and have no texts.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::net::{NetEvent, ServerEvent};
use tidegate::observe::{Event, Id, LayerEvent, Moment, Observer, OneLine, Record};

use super::shared::{Now, Shared, Slow};
use crate::live::model::fold::Fold;
use crate::live::model::lines::is_worth_a_note;
use crate::live::model::ring::Note;
use crate::live::model::turn::{Bits, Who, name_of};

/// A call that takes at least so long is reported as one that blocks the loop.
const SLOW: Duration = Duration::from_millis(50);

/// Notes in one second of the loop's clock; the others are counted in the last.
const NOTES: u32 = 50;

pub(crate) struct Recorder {
    fold: Rc<RefCell<Fold>>,
    shared: Arc<Shared>,
    /// When the loop's clock was zero, so that a moment is an instant without another clock read.
    zero: Option<Instant>,
    /// The second that runs, and the notes in it.
    second: u64,
    notes: u32,
}

impl Recorder {
    pub(crate) fn new(fold: Rc<RefCell<Fold>>, shared: Arc<Shared>) -> Recorder {
        Recorder { fold, shared, zero: None, second: 0, notes: 0 }
    }

    /// The moment as other threads know it.
    fn instant(&mut self, at: &Moment) -> Instant {
        let now = Instant::now;
        let zero =
            *self.zero.get_or_insert_with(|| now().checked_sub(at.elapsed).unwrap_or_else(now));
        zero + at.elapsed
    }

    fn called(&mut self, at: &Moment, who: Id, kind: &'static str, took: Duration) {
        if took < SLOW {
            return;
        }
        let slow = Slow { turn: at.turn, who, kind, took };
        let mut doing = self.shared.doing();
        doing.slow = Some(slow);
        if doing.longest.is_none_or(|l| l.took < took) {
            doing.longest = Some(slow);
        }
    }

    fn of_layer(&mut self, at: &Moment, e: &dyn LayerEvent) {
        if let Some(NetEvent::Server(of, ServerEvent::AcceptBatch { accepted, stopped })) =
            e.as_any().downcast_ref()
        {
            let server = Who::Live(Id::server(of.key));
            let stopped = stopped.to_string();
            self.fold.borrow_mut().batch(server, (*accepted).into(), stopped);
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
        self.shared.note(Note { turn: at.turn, at: at_ns, phase: name_of(at.phase), text });
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Observer for Recorder {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        match event {
            Event::Turn { ready } => {
                self.fold.borrow_mut().begin(at.turn, nanos(at.elapsed), *ready as u64);
            }
            Event::Poll { .. } => {
                let since = self.instant(at);
                self.shared.doing().now = Now::Waits(since);
            }
            Event::Polled { events, waited, ready } => {
                self.fold.borrow_mut().polled(*events as u64, nanos(*waited), *ready as u64);
            }
            Event::PhaseEnd { phase, took } => {
                self.fold.borrow_mut().phase_over(name_of(*phase), nanos(*took));
            }
            Event::Ready { bits, .. } => self.fold.borrow_mut().ready(Bits::from(*bits)),
            Event::Calling { key, kind } => {
                let since = self.instant(at);
                self.shared.doing().now = Now::Calls(Id::of(kind, *key), kind, since);
            }
            Event::Called { key, kind, took } => {
                let id = Id::of(kind, *key);
                let phase = name_of(at.phase);
                self.fold.borrow_mut().called(Who::Live(id), *kind, phase, nanos(*took));
                self.called(at, id, kind, *took);
            }
            Event::TurnEnd { took } => {
                if let Some(turn) = self.fold.borrow_mut().end(nanos(*took)) {
                    self.shared.ring().push(turn);
                }
            }
            Event::Layer(e) => self.of_layer(at, *e),
            _ => {}
        }
    }
}
