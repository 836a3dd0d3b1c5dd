//! [`Held`]: clients that asked too often. How long a connection is held back, and the line of
//! those that may go on: how long others wait for them is bounded by how many go on in one turn.
//! What is done with a connection is in `server/limited.rs`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tidegate_loop::Key;
use tidegate_net::SocketKey;

/// So many connections go on in one turn.
pub(crate) const PER_TURN: u32 = 16;

#[derive(Default)]
pub(crate) struct Held {
    /// Each once; one that is over is skipped.
    line: VecDeque<(SocketKey, usize)>,
    /// The handle that is called for them.
    pub(crate) handle: Option<Key>,
    /// The last turn in which one went on, and how many did.
    turn: u64,
    steps: u32,
    /// What the next random part is made of.
    chances: RandomState,
    count: u64,
}

impl Held {
    /// How long a connection is held whose client may ask again after `wait`, and the seconds that
    /// the answer says: not less than `wait`, and not more than what the answer says. Clients that
    /// were refused together do not come back together.
    pub(crate) fn hold(&mut self, wait: Duration) -> (Duration, u64) {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        self.count = self.count.wrapping_add(1);
        let chance = self.chances.hash_one(self.count) % 1024;
        let rest = Duration::from_secs(seconds).saturating_sub(wait);
        (wait + rest * chance as u32 / 1024, seconds)
    }

    /// Whether a connection may go on in this turn; it is counted.
    pub(crate) fn take_step(&mut self, turn: u64) -> bool {
        if self.turn != turn {
            (self.turn, self.steps) = (turn, 0);
        }
        let room = self.steps < PER_TURN;
        self.steps += u32::from(room);
        room
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(crate) fn push(&mut self, socket: SocketKey, at: usize) {
        self.line.push_back((socket, at));
    }

    /// The next in the line, if this turn has room for it.
    pub(crate) fn pop(&mut self, turn: u64) -> Option<(SocketKey, usize)> {
        if self.line.is_empty() || !self.take_step(turn) {
            return None;
        }
        let next = self.line.pop_front();
        if self.line.is_empty() {
            // A flood is over: its memory goes, too.
            self.line = VecDeque::new();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_when_the_client_may_ask_and_not_after_what_it_was_told() {
        let mut held = Held::default();
        for millis in [1, 200, 999, 1000, 1001, 61_500] {
            let wait = Duration::from_millis(millis);
            let all: Vec<_> = (0..200).map(|_| held.hold(wait)).collect();
            let seconds = millis.div_ceil(1000);
            assert!(all.iter().all(|(hold, said)| *hold >= wait && *said == seconds));
            assert!(all.iter().all(|(hold, _)| *hold <= Duration::from_secs(seconds)));
            let (least, most) = (all.iter().min().unwrap().0, all.iter().max().unwrap().0);
            let room = Duration::from_secs(seconds) - wait;
            assert!(most - least >= room / 2, "{millis} ms: {least:?} to {most:?}");
        }
        assert_eq!(held.hold(Duration::MAX).0, Duration::MAX);
    }

    #[test]
    fn each_turn_has_its_steps() {
        let mut held = Held::default();
        let taken = (0..100).filter(|_| held.take_step(7)).count();
        assert_eq!(taken, PER_TURN as usize);
        assert!(held.take_step(8));
    }
}
