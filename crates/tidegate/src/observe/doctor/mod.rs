//! [`Doctor`]: an observer that says in words what is wrong with a loop, and what mends it.
//!
//! Read `rules` first: it decides, and knows no loop. `events` and `lines` (JSON) bring what
//! happened, `ask` what the kernel and the counters say; `said` keeps it from being said too often.
#![forbid(unsafe_code)]

mod ask;
mod events;
mod finding;
#[cfg(feature = "trace")]
mod lines;
mod rules;
mod said;

#[cfg(test)]
mod rules_tests;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tidegate_loop::{AsCx, Event, Moment, Observer, OneLine, TimerKey};

pub use finding::{Finding, Sign};
#[cfg(feature = "trace")]
pub use lines::{BadLine, LineDoctor};

use rules::Rules;
use said::Said;

/// Says in words what is wrong with a loop, and which part of the API mends it.
///
/// Give a clone to [`Loop::observe`](crate::Loop::observe), and keep one for
/// [`findings`](Doctor::findings). Each finding is also a record of the `log` crate (target
/// `tidegate::doctor`, level warn). The same sign is said once a minute at most.
///
/// From events alone it sees callbacks that block the loop, long turns, connections that stay
/// full, accept batches that stop at the budget, servers without descriptors, late timers. What the
/// kernel and the counters know (the accept queue, lost segments, unhandled errors) is asked for:
/// see [`ask_every`](Doctor::ask_every).
///
/// ```
/// use std::time::Duration;
/// use tidegate::observe::Doctor;
/// use tidegate::prelude::*;
/// let mut lp = Loop::new()?;
/// let doctor = Doctor::new().slow_call(Duration::from_millis(20));
/// lp.observe(doctor.clone());
/// doctor.ask_every(&mut lp, Duration::from_millis(250));
/// lp.connect("127.0.0.1:1", On::new()); // no `close`: nobody sees the error
/// lp.after(Duration::from_millis(600), |_| ()); // in a program the server keeps it alive
/// lp.run()?;
/// for finding in doctor.findings() {
///     println!("{finding}"); // unhandled errors: 1 errors came that no code handled; ...
/// }
/// # let sign = tidegate::observe::Sign::UnhandledErrors;
/// # assert!(doctor.findings().iter().any(|f| f.sign == sign));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Doctor(Rc<RefCell<State>>);

struct State {
    rules: Rules<events::Handle>,
    said: Said,
    at: Duration,
}

impl Default for Doctor {
    fn default() -> Doctor {
        Doctor::new()
    }
}

impl Doctor {
    /// A call blocks the loop from 50 ms on; the same sign is said again after a minute.
    pub fn new() -> Doctor {
        let rules = Rules::new(Duration::from_millis(50));
        let state = State { rules, said: Said::new(), at: Duration::ZERO };
        Doctor(Rc::new(RefCell::new(state)))
    }

    /// From how long on a call is said to block the loop.
    pub fn slow_call(self, from: Duration) -> Doctor {
        self.0.borrow_mut().rules.set_slow_call(from);
        self
    }

    /// After how long the same sign is said again.
    pub fn say_again(self, after: Duration) -> Doctor {
        self.0.borrow_mut().said.set_again(after);
        self
    }

    /// Asks the loop so often for what events do not tell: the queues of servers, of at most 32
    /// connections that are full, and the counter of unhandled errors. The timer does not keep the
    /// loop alive.
    ///
    /// A server costs one system call, a connection three.
    pub fn ask_every(&self, lp: &mut impl AsCx, every: Duration) -> TimerKey {
        let doctor = self.clone();
        let mut cx = lp.cx();
        let timer = cx.interval(every, move |cx, _| doctor.ask(cx));
        let set = cx.set_ref(timer, false);
        debug_assert!(set.is_ok(), "the timer was just made");
        timer
    }

    /// What was found, the oldest first; the last hundred. A call that blocked the loop is found
    /// when the turn after it is over, or by this.
    pub fn findings(&self) -> Vec<Finding> {
        self.settle(true);
        self.0.borrow().said.kept()
    }

    /// Says what the rules have found.
    fn settle(&self, all: bool) {
        let mut state = self.0.borrow_mut();
        let State { rules, said, at } = &mut *state;
        for finding in rules.take(*at, all) {
            if let Some(finding) = said.take(finding) {
                log::warn!(target: "tidegate::doctor", "{}", OneLine(finding));
            }
        }
    }
}

impl Observer for Doctor {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        if events::says_something(event) {
            self.take(at, event);
        }
    }
}

impl Doctor {
    #[inline(never)]
    fn take(&self, at: &Moment, event: &Event<'_>) {
        let is_found = {
            let mut state = self.0.borrow_mut();
            state.at = at.elapsed;
            events::take(&mut state.rules, at.elapsed, event);
            matches!(event, Event::TurnEnd { .. }) && state.rules.has_found()
        };
        if is_found {
            self.settle(false);
        }
    }
}

impl fmt::Debug for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doctor").field("findings", &self.0.borrow().said.kept()).finish()
    }
}
