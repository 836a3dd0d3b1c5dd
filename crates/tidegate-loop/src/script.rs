//! For tests: a clock that the test moves, and a poller that reports scripted events beside those
//! of the kernel.
//!
//! A scripted loop never waits. Where a poll would, the clock jumps to the end of the
//! wait; where it would wait for ever, `run` ends with an error, so that no test hangs.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::store::key::Key;
use crate::store::readiness::Readiness;

#[derive(Default)]
struct State {
    now: u64,
    /// One batch for each poll.
    batches: VecDeque<Vec<(Key, Readiness)>>,
    /// The next poll fails.
    fails: bool,
}

/// The script of a scripted loop. Made with the loop by [`Loop::scripted`](crate::Loop::scripted);
/// clones are the same script.
///
/// ```
/// use std::time::Duration;
/// use tidegate_loop::{AsCx, Loop};
/// let (mut lp, script) = Loop::scripted()?;
/// lp.timer(Duration::from_secs(3600), |cx, _| assert_eq!(cx.now().as_secs(), 3600));
/// lp.run()?; // at once
/// assert_eq!(script.now(), Duration::from_secs(3600));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Script(Rc<RefCell<State>>);

impl Script {
    /// The time on the clock.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.borrow().now)
    }

    /// Moves the clock forward; inside a callback, as if the callback took this long.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let now = &mut self.0.borrow_mut().now;
        *now = now.saturating_add(by);
    }

    /// Adds a batch for the next poll that has none yet: it reports these handles, in this order.
    ///
    /// ```
    /// use tidegate_loop::kind::{Kind, Owner};
    /// use tidegate_loop::event::Readiness;
    /// use tidegate_loop::{AsCx, Loop};
    /// static MINE: Owner = Owner::new();
    /// static BELL: Kind = Kind::new("bell", &MINE).ready(|d, key, _| {
    ///     let mut driver = d.driver();
    ///     let Some(bell) = driver.handle(&MINE, key) else { return };
    ///     assert_eq!(bell.readiness(), Readiness::READABLE);
    ///     bell.free();
    /// });
    /// let (mut lp, script) = Loop::scripted()?;
    /// let key = lp.cx().driver().insert(&BELL, 0)?.key();
    /// script.poll([(key, Readiness::READABLE)]);
    /// lp.run()?;
    /// assert_eq!(lp.metrics().turns, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll(&self, events: impl IntoIterator<Item = (Key, Readiness)>) {
        self.0.borrow_mut().batches.push_back(events.into_iter().collect());
    }

    /// The next poll fails.
    #[cfg(test)]
    fn fail(&self) {
        self.0.borrow_mut().fails = true;
    }

    pub(crate) fn takes_failure(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().fails)
    }

    pub(crate) fn clock(&self) -> u64 {
        self.0.borrow().now
    }

    /// The next batch. `None` and nothing from the kernel: the wait is over at once, or
    /// would have no end.
    pub(crate) fn take(&self) -> Option<Vec<(Key, Readiness)>> {
        self.0.borrow_mut().batches.pop_front()
    }

    pub(crate) fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        match timeout {
            Some(timeout) => {
                self.advance(timeout);
                Ok(())
            }
            None => Err(io::Error::other("the script is over, and nothing would end this poll")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::kind::{Kind, LayerId};
    use crate::{AsCx, Event, Loop, Moment, Observer, Phase};

    const S: Duration = Duration::from_secs(1);

    /// One line for each event, with its time.
    #[derive(Clone, Default)]
    struct Trace(Rc<RefCell<Vec<String>>>);

    impl Observer for Trace {
        fn event(&mut self, at: &Moment, event: &Event<'_>) {
            let of_spans = matches!(
                event,
                Event::PhaseEnd { .. }
                    | Event::TurnEnd { .. }
                    | Event::Calling { .. }
                    | Event::Called { .. }
            );
            if !of_spans {
                self.0.borrow_mut().push(format!("{}s {event}", at.elapsed.as_secs_f64()));
            }
        }
    }

    impl Trace {
        fn say(&self, text: impl Into<String>) {
            self.0.borrow_mut().push(text.into());
        }
    }

    static TRACES: LayerId<Option<Trace>> = LayerId::new(|| None);

    static BELL: Kind = Kind::new("bell", TRACES.owner())
        .ready(|d, key, n| {
            let turn = d.cx().turn();
            let (trace, mut driver) = d.layer(&TRACES);
            if let Some(trace) = trace {
                trace.say(format!("bell {n} rings in turn {turn}"));
            }
            if n > 0 {
                driver.handle(TRACES.owner(), key).unwrap().close();
            }
        })
        .closed(|d, _, n| {
            if let Some(trace) = d.layer(&TRACES).0 {
                trace.say(format!("bell {n} closed"));
            }
        });

    /// Two turns with events, timers and hooks, as one text; no kernel, no sleep.
    #[test]
    fn a_run_as_a_text() {
        let (mut lp, script) = Loop::scripted().unwrap();
        let trace = Trace::default();
        lp.observe(trace.clone());
        let mut cx = lp.cx();
        *cx.layer(&TRACES).0 = Some(trace.clone());
        let keys = [1, 2].map(|n| cx.driver().insert(&BELL, n).unwrap().key());
        let said = trace.clone();
        cx.timer(S * 5, move |cx, _| said.say(format!("timer in {}", cx.phase())));
        let said = trace.clone();
        cx.check(move |cx, me| {
            said.say(format!("check in {}", cx.phase()));
            cx.close(me).unwrap();
        });
        script.poll([(keys[1], Readiness::READABLE), (keys[0], Readiness::READABLE)]);
        lp.run().unwrap();
        let [second, first] = [keys[1], keys[0]].map(|k| format!("{k:?}"));
        let expected = format!(
            "0s turn
0s poll, at most 5s
0s polled 2
0s ready bell {second} readable
bell 2 rings in turn 1
0s ready bell {first} readable
bell 1 rings in turn 1
check in check
bell 2 closed
bell 1 closed
0s turn
0s poll, at most 5s
5s polled 0
timer in timers"
        );
        assert_eq!(trace.0.borrow().join("\n"), expected);
    }

    /// A poll that fails ends the run and loses nothing. What comes next depends on the poller:
    /// mio's for Windows would panic.
    #[test]
    fn a_poll_that_fails_ends_the_run() {
        let (mut lp, script) = Loop::scripted().unwrap();
        let fired = Rc::new(RefCell::new(0));
        let f = fired.clone();
        lp.timer(S, move |_, _| *f.borrow_mut() += 1);
        script.fail();
        assert_eq!(lp.run().unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        for _ in 0..2 {
            let again = lp.run();
            if crate::sys::POLLS_AFTER_ERROR {
                again.unwrap();
                assert_eq!(*fired.borrow(), 1);
            } else {
                let text = "the poller of this loop failed before";
                assert_eq!(again.unwrap_err().to_string(), text);
                assert_eq!(*fired.borrow(), 0);
            }
        }
    }

    /// To the nanosecond: not early, in the turn that it is due, in order.
    #[test]
    fn timers_by_a_clock_that_stands_still() {
        let (mut lp, script) = Loop::scripted().unwrap();
        let fired = Rc::new(RefCell::new(Vec::new()));
        for nanos in [7, 3, 3, 1_000_000_007] {
            let fired = fired.clone();
            lp.timer(Duration::from_nanos(nanos), move |cx, _| {
                fired.borrow_mut().push(cx.now().as_nanos());
            });
        }
        lp.run().unwrap();
        assert_eq!(*fired.borrow(), [3, 3, 7, 1_000_000_007]);
        assert_eq!(script.now(), Duration::from_nanos(1_000_000_007));
    }

    /// A slow callback does not make an interval catch up.
    #[test]
    fn missed_shots_are_not_made_up_for() {
        let (mut lp, script) = Loop::scripted().unwrap();
        let at = Rc::new(RefCell::new(Vec::new()));
        let (seen, slow) = (at.clone(), script.clone());
        lp.interval(S, move |cx, me| {
            seen.borrow_mut().push(slow.now().as_millis());
            match seen.borrow().len() {
                1 => slow.advance(S * 3 + S / 2),
                4 => cx.close(me).unwrap(),
                _ => {}
            }
        });
        lp.run().unwrap();
        // Armed before the call that took 3.5 s: that shot is late, the next is whole.
        assert_eq!(*at.borrow(), [1000, 4500, 5500, 6500]);
    }

    #[test]
    fn a_script_that_is_over_is_an_error_and_no_hang() {
        let (mut lp, _script) = Loop::scripted().unwrap();
        let key = lp.cx().driver().insert(&BELL, 0).unwrap().key();
        assert!(lp.run().unwrap_err().to_string().contains("the script is over"));
        assert_eq!(lp.cx().phase(), Phase::Outside);
        lp.cx().driver().handle(TRACES.owner(), key).unwrap().free();
        lp.run().unwrap();
    }
}
