//! [`Fold`]: events, one after the other, become turns. The follower of a loop and the reader of
//! trace files both use it, so that the page and the file never differ.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::turn::{Batch, Bits, Call, PLACES, READY, Turn, Who};

/// Calls, and batches of accepts, that a turn lists; the others are counted.
pub(crate) const CALLS: usize = 64;
pub(crate) const BATCHES: usize = 8;

#[derive(Default)]
pub(crate) struct Fold {
    turn: Turn,
    /// A turn has begun, and is not over.
    open: bool,
    bits: Bits,
    /// Handles called in the ready pass so far.
    passed: u64,
}

impl Fold {
    pub(crate) fn begin(&mut self, number: u64, at: u64) {
        self.turn.clear();
        (self.turn.number, self.turn.began) = (number, at);
        (self.open, self.passed, self.bits) = (true, 0, Bits::default());
    }

    /// Handles that were queued when the turn began.
    pub(crate) fn queued_before(&mut self, handles: u64) {
        self.turn.before = handles;
    }

    pub(crate) fn polled(&mut self, events: u64, waited: u64, queued: u64) {
        let turn = &mut self.turn;
        (turn.events, turn.waited, turn.queued) = (events, waited, queued);
    }

    /// A handle is about to be called in the ready pass.
    pub(crate) fn ready(&mut self, bits: Bits) {
        self.bits = bits;
    }

    pub(crate) fn called(
        &mut self,
        who: Who,
        kind: impl Into<Cow<'static, str>>,
        place: usize,
        took: u64,
    ) {
        if !self.open {
            return;
        }
        let in_pass = place == READY;
        let carried = in_pass && self.passed < self.turn.before;
        self.passed += u64::from(in_pass);
        let bits = std::mem::take(&mut self.bits);
        if self.turn.calls.len() < CALLS {
            let kind = kind.into();
            self.turn.calls.push(Call { who, kind, bits, took, place, carried });
        } else {
            self.turn.left_out += 1;
        }
    }

    pub(crate) fn batch(
        &mut self,
        server: Who,
        accepted: u64,
        stopped: impl Into<Cow<'static, str>>,
    ) {
        if self.open && self.turn.batches.len() < BATCHES {
            self.turn.batches.push(Batch { server, accepted, stopped: stopped.into() });
        }
    }

    pub(crate) fn phase_over(&mut self, place: usize, took: u64) {
        if let (true, Some(phase)) = (self.open, self.turn.phases.get_mut(place)) {
            *phase += took;
            self.turn.places = place + 1;
        }
    }

    /// The turn is over; `None` if its beginning was not seen.
    pub(crate) fn end(&mut self, took: u64) -> Option<&mut Turn> {
        let was_open = std::mem::take(&mut self.open);
        (self.turn.took, self.turn.places) = (took, PLACES.len());
        was_open.then_some(&mut self.turn)
    }

    /// What comes up to the next turn is not known.
    pub(crate) fn give_up(&mut self) {
        self.open = false;
    }

    /// The turn that runs, as far as it has come.
    pub(crate) fn so_far(&self) -> Option<&Turn> {
        self.open.then_some(&self.turn)
    }

    /// Where the turn is, in a phase of this name.
    pub(crate) fn place(&self, phase: &str) -> Option<usize> {
        let from = self.turn.places;
        let at = PLACES.get(from..)?.iter().position(|name| *name == phase)?;
        self.open.then_some(from + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Who {
        Who::Named(name.into())
    }

    fn phases(fold: &mut Fold, names: &[&str], took: u64) {
        for name in names {
            let place = fold.place(name).unwrap();
            fold.phase_over(place, took);
        }
    }

    fn called(fold: &mut Fold, name: &str, kind: &'static str, phase: &str, took: u64) {
        let place = fold.place(phase).unwrap();
        fold.called(who(name), kind, place, took);
    }

    #[test]
    fn a_turn_has_its_phases_in_order_and_its_calls_at_their_places() {
        let mut fold = Fold::default();
        fold.begin(7, 1_000);
        fold.queued_before(1);
        phases(&mut fold, &["pending", "idle", "prepare"], 1);
        fold.polled(2, 40, 3);
        phases(&mut fold, &["poll"], 50);
        fold.ready(Bits::parse("readable|read_closed"));
        called(&mut fold, "c1", "socket", "ready", 5);
        called(&mut fold, "c2", "socket", "ready", 6);
        fold.batch(who("s1"), 64, "budget");
        phases(&mut fold, &["ready"], 12);
        called(&mut fold, "c3", "socket", "pending", 2);
        phases(&mut fold, &["pending", "check", "closing"], 2);
        called(&mut fold, "h1", "timer", "timers", 3);
        phases(&mut fold, &["timers"], 4);
        let turn = fold.end(75).unwrap().clone();
        assert_eq!(turn.phases, [1, 1, 1, 50, 12, 2, 2, 2, 4]);
        assert_eq!(turn.phases.iter().sum::<u64>(), turn.took);
        assert_eq!((turn.number, turn.waited, turn.events, turn.queued), (7, 40, 2, 3));
        let calls: Vec<_> =
            turn.calls.iter().map(|c| (c.who.to_string(), c.place, c.carried)).collect();
        let expected = [("c1", 4, true), ("c2", 4, false), ("c3", 5, false), ("h1", 8, false)];
        assert_eq!(calls, expected.map(|(name, place, carried)| (name.into(), place, carried)));
        assert_eq!(turn.calls[0].bits.to_string(), "Rr");
        assert_eq!(turn.calls[1].bits.to_string(), "", "bits are of one call");
        assert_eq!((turn.batches[0].accepted, &*turn.batches[0].stopped), (64, "budget"));
        assert!(fold.end(0).is_none(), "it is over");
    }

    #[test]
    fn what_comes_outside_of_a_turn_is_left_out_and_long_lists_are_counted() {
        let mut fold = Fold::default();
        assert_eq!(fold.place("timers"), None);
        fold.called(who("c1"), "socket", 8, 1);
        fold.phase_over(8, 1);
        assert!(fold.end(1).is_none());
        fold.begin(1, 0);
        fold.phase_over(PLACES.len(), 1);
        for n in 0..100 {
            fold.called(who(&n.to_string()), "socket", READY, 1);
        }
        let turn = fold.end(1).unwrap();
        assert_eq!((turn.calls.len(), turn.left_out), (CALLS, 100 - CALLS as u64));
        assert_eq!(turn.phases, [0; 9], "there is no tenth place");
        fold.begin(2, 0);
        assert!(fold.so_far().unwrap().calls.is_empty());
        fold.give_up();
        assert!(fold.so_far().is_none() && fold.end(1).is_none());
    }
}
