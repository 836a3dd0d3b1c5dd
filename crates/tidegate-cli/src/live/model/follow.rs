//! [`Follower`]: reads a [`Tape`] from where it stopped, and keeps the last turns. It runs on the
//! thread of the page, so the studied loop does nothing for it.
#![forbid(unsafe_code)]

use super::entry::{Entry, Kinds};
use super::fold::Fold;
use super::ring::Ring;
use super::tape::Tape;
use super::turn::Turn;

#[derive(Default)]
pub(crate) struct Follower {
    next: u64,
    read: Vec<[u64; 2]>,
    fold: Fold,
    ring: Ring,
}

impl Follower {
    /// Reads what is new. Of a turn that was overwritten in part, nothing is kept.
    /// `kinds` is asked when the records are read, so that it knows all names in them.
    pub(crate) fn follow(&mut self, tape: &Tape, kinds: impl FnOnce() -> Kinds) {
        let first = tape.read(self.next, &mut self.read);
        let kinds = kinds();
        if first != self.next {
            self.fold.give_up();
        }
        self.next = first + self.read.len() as u64;
        for entry in self.read.iter().filter_map(|record| Entry::unpack(*record)) {
            let fold = &mut self.fold;
            match entry {
                Entry::Turn { number, at } => fold.begin(number, at),
                Entry::Polled { events, queued, before, waited } => {
                    fold.queued_before(before);
                    fold.polled(events, waited, queued);
                }
                Entry::Called { who, bits, place, took } => {
                    fold.ready(bits);
                    fold.called(kinds.who(who), kinds.kind(who), place, took);
                }
                Entry::Batch { server, accepted, stopped } => {
                    fold.batch(kinds.who(server), accepted, kinds.name(stopped));
                }
                Entry::Phase { place, took } => fold.phase_over(place, took),
                Entry::End { took, left_out } => {
                    if let Some(turn) = fold.end(took) {
                        turn.left_out += left_out;
                        self.ring.push(turn);
                    }
                }
            }
        }
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The turn that runs, as far as it was read.
    pub(crate) fn so_far(&self) -> Option<&Turn> {
        self.fold.so_far()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(tape: &Tape, number: u64) {
        tape.push(Entry::Turn { number, at: number });
        tape.push(Entry::Polled { events: 1, queued: 1, before: 0, waited: 5 });
        tape.push(Entry::Phase { place: 3, took: 6 });
        tape.push(Entry::End { took: 6, left_out: 0 });
    }

    #[test]
    fn turns_come_in_order_and_one_that_was_overwritten_in_part_is_left_out() {
        let (tape, mut follower) = (Tape::default(), Follower::default());
        (1..=3).for_each(|n| turn(&tape, n));
        tape.push(Entry::Turn { number: 4, at: 4 });
        follower.follow(&tape, Kinds::default);
        assert_eq!((follower.ring().last(), follower.so_far().map(|t| t.number)), (3, Some(4)));
        tape.push(Entry::End { took: 9, left_out: 2 });
        follower.follow(&tape, Kinds::default);
        let last = follower.ring().turns_after(3).next().unwrap();
        assert_eq!((last.number, last.took, last.left_out, last.places), (4, 9, 2, 9));
        assert!(follower.so_far().is_none());

        // More than the tape has room for, and it begins in the middle of a turn.
        (5..=5_000).for_each(|n| turn(&tape, n));
        tape.push(Entry::Turn { number: 5_001, at: 0 });
        follower.follow(&tape, Kinds::default);
        let after: Vec<_> = follower.ring().turns_after(4).map(|t| t.number).collect();
        assert_eq!(after.last(), Some(&5_000));
        assert!(after.windows(2).all(|two| two[1] == two[0] + 1), "whole turns alone: {after:?}");
        assert!(follower.ring().turns_after(4).all(|t| t.phases[3] == 6));
    }
}
