//! [`Pace`]: whether to receive one datagram or many, a guess that adapts.
//!
//! A `recvmmsg` that finds one datagram costs a tenth more than the `recvfrom` that would have been
//! enough; one that finds several saves a poll for each. So while datagrams come singly one is asked
//! for, and now and then many; and many for as long as several come.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::sys::udp::SLOTS;

/// More ready handles than this, and waiting for the next turn is long enough for a queue to form.
const CROWD: usize = 4;

/// So is so long a time in which the kernel was not asked.
const LONG_AWAY: Duration = Duration::from_micros(250);

/// Single datagrams in a row that it takes to ask for many; and the ceiling of that.
const PATIENCE: u8 = 4;
const MOST_PATIENCE: u8 = 64;

/// Batches of one in a row that it takes to ask for one again.
const MISSES: u8 = 2;

#[derive(Debug)]
pub(crate) struct Pace {
    many: bool,
    streak: u8,
    patience: u8,
}

/// Until it was seen that little comes, much is assumed.
impl Default for Pace {
    fn default() -> Pace {
        Pace { many: true, streak: 0, patience: PATIENCE }
    }
}

impl Pace {
    /// Datagrams to ask for in this turn.
    pub(crate) fn want(&self, budget: u32, ready: usize, away: Duration) -> u32 {
        match ready > CROWD || away > LONG_AWAY {
            true => budget,
            false if self.many => budget.min(SLOTS as u32),
            false => 1,
        }
    }

    /// Learns from a turn that asked for `want` and got so many.
    pub(crate) fn learn(&mut self, got: u32, want: u32) {
        if got >= 2 {
            *self = Pace { many: true, ..Pace::default() };
            return;
        }
        self.streak += 1;
        if want == 1 && self.streak >= self.patience {
            self.many = true;
            self.streak = 0;
        } else if want > 1 && self.streak >= MISSES {
            self.many = false;
            self.streak = 0;
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns and system calls with room for more than came, when so many come each time.
    fn run(each: u32) -> (u32, u32) {
        let (mut pace, mut turns, mut wide) = (Pace::default(), 0, 0);
        for _ in 0..1000 {
            let mut queued = each;
            while queued > 0 {
                let want = pace.want(64, 1, Duration::ZERO);
                let got = want.min(queued);
                pace.learn(got, want);
                queued -= got;
                turns += 1;
                wide += u32::from(want > 1 && got == 1);
            }
        }
        (turns, wide)
    }

    #[test]
    fn single_datagrams_are_asked_for_singly() {
        let (turns, wide) = run(1);
        assert_eq!(turns, 1000);
        assert!(wide < 50, "{wide}");
    }

    #[test]
    fn several_come_in_one_batch() {
        let (turns, _) = run(10);
        assert!(turns < 1020, "{turns}");
    }

    #[test]
    fn a_long_turn_or_a_crowd_takes_the_whole_budget() {
        let pace = Pace::default();
        assert_eq!(pace.want(64, 1, Duration::from_millis(1)), 64);
        assert_eq!(pace.want(64, 5, Duration::ZERO), 64);
    }
}
