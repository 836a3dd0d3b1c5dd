//! [`Ring`]: the last turns and the last notes, of bounded size. The oldest give way and are
//! counted by those who missed them.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use super::turn::Turn;

/// Turns that are kept. At 1,000 turns a second, a page may be half a second late. More would cost
/// the studied loop more: its memory would not stay in the cache.
const TURNS: usize = 512;
const NOTES: usize = 256;

/// Something that happened, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    pub(crate) turn: u64,
    /// Nanoseconds since the loop was made.
    pub(crate) at: u64,
    pub(crate) phase: &'static str,
    pub(crate) text: String,
}

#[derive(Default)]
pub(crate) struct Ring {
    turns: VecDeque<Turn>,
    /// The turn that runs, while the loop is stopped between two phases.
    partial: Option<Turn>,
    notes: VecDeque<Note>,
    /// Notes that came before those in the queue.
    notes_gone: u64,
}

impl Ring {
    /// Takes the turn, and leaves an empty one with the memory of the oldest.
    pub(crate) fn push(&mut self, turn: &mut Turn) {
        let mut spare = Turn::default();
        if self.turns.len() == TURNS {
            spare = self.turns.pop_front().unwrap_or_default();
            spare.clear();
        }
        self.turns.push_back(std::mem::replace(turn, spare));
        self.partial = None;
    }

    pub(crate) fn set_partial(&mut self, turn: Option<&Turn>) {
        self.partial = turn.cloned();
    }

    pub(crate) fn partial(&self) -> Option<&Turn> {
        self.partial.as_ref()
    }

    pub(crate) fn note(&mut self, note: Note) {
        if self.notes.len() == NOTES {
            self.notes.pop_front();
            self.notes_gone += 1;
        }
        self.notes.push_back(note);
    }

    /// The number of the last turn.
    pub(crate) fn last(&self) -> u64 {
        self.turns.back().map_or(0, |turn| turn.number)
    }

    /// Turns after the one of this number.
    pub(crate) fn turns_after(&self, number: u64) -> impl Iterator<Item = &Turn> {
        let from = self.turns.partition_point(|turn| turn.number <= number);
        self.turns.range(from..)
    }

    /// Notes from the `n`th of all on; and the number for the next call.
    pub(crate) fn notes_from(&self, n: u64) -> (impl Iterator<Item = &Note>, u64) {
        let from = usize::try_from(n.saturating_sub(self.notes_gone)).unwrap_or(usize::MAX);
        let notes = self.notes.range(from.min(self.notes.len())..);
        (notes, self.notes_gone + self.notes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(ring: &mut Ring, number: u64) {
        ring.push(&mut Turn { number, ..Turn::default() });
    }

    #[test]
    fn the_oldest_turns_give_way_and_a_late_reader_sees_the_gap() {
        let mut ring = Ring::default();
        let all = TURNS as u64 + 10;
        (1..=all).for_each(|n| push(&mut ring, n));
        let seen: Vec<u64> = ring.turns_after(3).map(|t| t.number).collect();
        assert_eq!((seen[0], seen.len(), ring.last()), (11, TURNS, all));
        assert_eq!(ring.turns_after(all - 2).map(|t| t.number).collect::<Vec<_>>(), [all - 1, all]);
        assert_eq!(ring.turns_after(all + 5).count(), 0);
    }

    #[test]
    fn notes_are_numbered_from_the_first_on() {
        let mut ring = Ring::default();
        for n in 0..NOTES as u64 + 3 {
            ring.note(Note { turn: n, at: 0, phase: "ready", text: String::new() });
        }
        let (notes, next) = ring.notes_from(0);
        assert_eq!((notes.count(), next), (NOTES, NOTES as u64 + 3));
        let (notes, next) = ring.notes_from(next - 1);
        assert_eq!(
            (notes.map(|n| n.turn).collect::<Vec<_>>(), next),
            (vec![NOTES as u64 + 2], next)
        );
        assert_eq!(ring.notes_from(next + 9).0.count(), 0);
    }

    #[test]
    fn a_partial_turn_is_gone_when_the_turn_is_over() {
        let mut ring = Ring::default();
        ring.set_partial(Some(&Turn { number: 1, ..Turn::default() }));
        assert_eq!(ring.partial().map(|t| t.number), Some(1));
        push(&mut ring, 1);
        assert!(ring.partial().is_none());
    }
}
