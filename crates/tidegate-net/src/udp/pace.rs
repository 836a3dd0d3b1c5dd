//! [`Pace`]: how many datagrams to receive in this turn, and whether by one call or one by one: a
//! guess that adapts.
//!
//! | datagrams that come together | how they are received |
//! |---|---|
//! | 1 | one `recvfrom`; the poller says whether there is another |
//! | fewer than 8 | one `recvfrom` for each, until there are no more |
//! | 8 and more | `recvmmsg` |
//!
//! A `recvmmsg` that finds few datagrams costs more than a `recvfrom` for each of them: half as much
//! again for one, a quarter for three, a tenth for eight. A `recvfrom` that finds none costs much
//! less than the poll that it saves where several come.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::sys::udp::SLOTS;

/// More ready handles than this, and waiting for the next turn is long enough for a queue to form.
const CROWD: usize = 4;

/// So is so long a time in which the kernel was not asked.
const LONG_AWAY: Duration = Duration::from_micros(250);

/// Single datagrams in a row that it takes to ask for more; and the ceiling of that.
const PATIENCE: u8 = 4;
const MOST_PATIENCE: u8 = 64;

/// Turns with one datagram in a row that it takes to ask for one again.
const MISSES: u8 = 2;

/// So many are worth one call for all.
const MANY: u32 = 8;

/// How many are expected together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    One,
    Few,
    Many,
}

#[derive(Debug)]
pub(crate) struct Pace {
    expected: Expected,
    streak: u8,
    patience: u8,
}

/// Until it was seen that little comes, much is assumed.
impl Default for Pace {
    fn default() -> Pace {
        Pace { expected: Expected::Many, streak: 0, patience: PATIENCE }
    }
}

/// What to receive in a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) datagrams: u32,
    /// By one call, as far as it takes them.
    pub(crate) together: bool,
}

impl Pace {
    /// What to ask for in this turn.
    pub(crate) fn want(&self, budget: u32, ready: usize, away: Duration) -> Wanted {
        let datagrams = match self.expected {
            _ if ready > CROWD || away > LONG_AWAY => budget,
            Expected::One => 1,
            Expected::Few | Expected::Many => budget.min(SLOTS as u32),
        };
        Wanted { datagrams, together: self.expected == Expected::Many || away > LONG_AWAY }
    }

    /// Learns from a turn that asked for `want` and got so many.
    pub(crate) fn learn(&mut self, got: u32, want: u32) {
        if got >= 2 {
            let expected = if got < MANY { Expected::Few } else { Expected::Many };
            *self = Pace { expected, ..Pace::default() };
            return;
        }
        self.streak += 1;
        if want == 1 && self.streak >= self.patience {
            self.expected = Expected::Few;
            self.streak = 0;
        } else if want > 1 && self.streak >= MISSES {
            self.expected = Expected::One;
            self.streak = 0;
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns, system calls with room for more than came, and calls for one datagram, when so many
    /// come each time.
    fn run(each: u32) -> (u32, u32, u32) {
        let (mut pace, mut turns, mut wide, mut singles) = (Pace::default(), 0, 0, 0);
        for _ in 0..1000 {
            let mut queued = each;
            while queued > 0 {
                let Wanted { datagrams: want, together } = pace.want(64, 1, Duration::ZERO);
                let got = want.min(queued);
                pace.learn(got, want);
                queued -= got;
                turns += 1;
                wide += u32::from(want > 1 && got == 1);
                singles += if together { 0 } else { got };
            }
        }
        (turns, wide, singles)
    }

    #[test]
    fn single_datagrams_are_asked_for_singly() {
        let (turns, wide, singles) = run(1);
        assert_eq!(turns, 1000);
        assert!(wide < 50, "{wide}");
        assert!(singles > 990, "{singles}");
    }

    #[test]
    fn few_come_in_one_turn_and_one_by_one() {
        let (turns, _, singles) = run(5);
        assert!(turns < 1020, "{turns}");
        assert!(singles > 4900, "{singles}");
    }

    #[test]
    fn several_come_in_one_batch() {
        let (turns, _, singles) = run(10);
        assert!(turns < 1020, "{turns}");
        assert!(singles < 100, "{singles}");
    }

    #[test]
    fn a_long_turn_or_a_crowd_takes_the_whole_budget() {
        let mut pace = Pace::default();
        (0..MISSES).for_each(|_| pace.learn(1, 64));
        let long = pace.want(64, 1, Duration::from_millis(1));
        assert_eq!(long, Wanted { datagrams: 64, together: true });
        let crowd = pace.want(64, 5, Duration::ZERO);
        assert_eq!(crowd, Wanted { datagrams: 64, together: false });
    }
}
