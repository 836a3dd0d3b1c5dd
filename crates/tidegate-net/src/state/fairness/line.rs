//! [`Line`]: the connections of a loop's servers that have a step of getting ready to do, in the
//! order in which they came. How long others wait for them is bounded by how many steps one turn
//! takes. What a step is, and when it is done, is in `server/gate.rs`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use tidegate_loop::Key;

use crate::key::SocketKey;

#[derive(Default)]
pub(crate) struct Line {
    /// Each once. The key of one that is over is skipped.
    waiting: VecDeque<SocketKey>,
    /// The handle that is called for them.
    pub(crate) handle: Option<Key>,
    /// The turn of the last step, and how many it had.
    turn: u64,
    steps: u32,
}

impl Line {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// One more, behind the others.
    pub(crate) fn push(&mut self, key: SocketKey) {
        self.waiting.push_back(key);
    }

    /// One that found no room, in front of the others.
    pub(crate) fn put_back(&mut self, key: SocketKey) {
        self.waiting.push_front(key);
    }

    pub(crate) fn pop(&mut self) -> Option<SocketKey> {
        let next = self.waiting.pop_front();
        if self.waiting.is_empty() {
            // A flood is over: its memory goes, too.
            self.waiting = VecDeque::new();
        }
        next
    }

    /// Whether one more step may be done in this turn, if it has room for so many; it is counted.
    pub(crate) fn take_step(&mut self, turn: u64, most: u32) -> bool {
        if self.turn != turn {
            (self.turn, self.steps) = (turn, 0);
        }
        let room = self.steps < most;
        self.steps += u32::from(room);
        room
    }

    /// There was nothing to do.
    pub(crate) fn give_step_back(&mut self) {
        self.steps = self.steps.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_has_its_steps() {
        let mut line = Line::default();
        assert!(line.take_step(7, 2) && line.take_step(7, 2) && !line.take_step(7, 2));
        // A server that allows more has room still.
        assert!(line.take_step(7, 3) && !line.take_step(7, 3));
        line.give_step_back();
        assert!(line.take_step(7, 3));
        assert!(line.take_step(8, 1) && !line.take_step(8, 1));
    }
}
