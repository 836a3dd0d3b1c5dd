//! How many connections to take at once, and whether to read right away: two
//! small guesses that adapt.
//!
//! A failing accept costs more than a successful one, so while connections come
//! singly one accept per wake-up is best; once they queue, a batch is. The
//! kernel says again that a level-triggered listener is ready, so stopping
//! early loses nothing.
#![forbid(unsafe_code)]

use std::time::Duration;

/// More ready handles than this, and waiting for the next turn is long enough
/// for a queue to form.
const CROWD: usize = 4;

/// So is so long a time in which the kernel was not asked.
const LONG_AWAY: Duration = Duration::from_micros(250);

/// Full single accepts in a row that it takes to try two; and its ceiling.
const PATIENCE: u32 = 4;

const MOST_PATIENCE: u32 = 64;

/// How many accepts the next wake-up is worth.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Until the first empty queue was seen, a queue is assumed.
    batch: u32,
    full: u32,
    patience: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { batch: u32::MAX, full: 0, patience: PATIENCE }
    }
}

impl Pace {
    /// Accepts to try in this turn.
    pub(crate) fn want(&self, budget: u32, ready: usize, away: Duration) -> u32 {
        if ready > CROWD || away > LONG_AWAY { budget } else { self.batch.min(budget) }
    }

    /// Learns from a batch: of `want` accepts, `got` were tried before the queue was empty.
    pub(crate) fn learn(&mut self, got: u32, want: u32, budget: u32) {
        if got < want {
            // Came up empty: back to one, and slower to try again.
            if got < 2 {
                self.patience = (self.patience * 2).min(MOST_PATIENCE);
            }
            self.batch = 1;
            self.full = 0;
        } else if want == budget {
            self.batch = budget;
        } else {
            self.full += 1;
            if self.batch > 1 || self.full >= self.patience {
                if self.batch >= PATIENCE {
                    self.patience = PATIENCE;
                }
                self.batch = self.batch.saturating_mul(2);
                self.full = 0;
            }
        }
    }
}

/// Whether the first read of a new connection is tried before the poller says
/// so: while most recent ones found something.
#[derive(Debug, Default)]
pub(crate) struct FirstReads {
    score: i8,
    skipped: u8,
}

impl FirstReads {
    /// While it does not pay, one in this many is tried all the same.
    const PROBE: u8 = 32;

    pub(crate) fn worth_trying(&mut self) -> bool {
        if self.score >= 0 {
            return true;
        }
        self.skipped = (self.skipped + 1) % FirstReads::PROBE;
        self.skipped == 0
    }

    pub(crate) fn report(&mut self, hit: bool) {
        self.score = (self.score + if hit { 1 } else { -1 }).clamp(-2, 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pace: &mut Pace, budget: u32, mut queued: u32) -> (u32, u32) {
        let (mut turns, mut empty) = (0, 0);
        while queued > 0 {
            let want = pace.want(budget, 1, Duration::ZERO);
            let got = want.min(queued);
            pace.learn(got, want, budget);
            queued -= got;
            turns += 1;
            empty += u32::from(got < want);
        }
        (turns, empty)
    }

    #[test]
    fn a_queue_at_the_start_is_drained_in_full_batches() {
        assert_eq!(run(&mut Pace::default(), 8, 1000), (125, 0));
    }

    #[test]
    fn single_connections_cost_one_empty_accept_in_dozens() {
        let mut pace = Pace::default();
        let empty: u32 = (0..1000).map(|_| run(&mut pace, 64, 1).1).sum();
        assert!(empty <= 20, "{empty} failing accepts for 1000 single connections");
    }

    #[test]
    fn a_long_turn_or_a_crowd_takes_the_whole_budget() {
        let mut pace = Pace::default();
        run(&mut pace, 64, 1);
        assert_eq!(pace.want(64, 1, Duration::ZERO), 1);
        assert_eq!(pace.want(64, 1, Duration::from_millis(1)), 64);
        assert_eq!(pace.want(64, 5, Duration::ZERO), 64);
    }
}
