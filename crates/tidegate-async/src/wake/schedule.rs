//! [`Schedule`]: whether a task is woken, polled or over, for wakers in many threads and one loop.
//!
//! | state | `wake` | `begin` | `rest` |
//! |---|---|---|---|
//! | waiting | woken; the waker queues the task | waiting: no poll | - |
//! | woken | the same | polled | - |
//! | polled | polled and woken | - | waiting |
//! | polled and woken | the same | - | woken; the loop queues the task |
//! | over | over | over: no poll | over |
//!
//! A wake during the poll is not lost, and does not put the task into the queue a second time: the
//! loop does that after the poll, for its next turn.
#![forbid(unsafe_code)]

#[cfg(loom)]
use loom::sync::atomic::{AtomicU8, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU8, Ordering};

const WOKEN: u8 = 1;
const POLLED: u8 = 2;
const OVER: u8 = 4;

pub(crate) struct Schedule(AtomicU8);

impl Schedule {
    /// Of a new task, which is in the queue.
    pub(crate) fn woken() -> Schedule {
        Schedule(AtomicU8::new(WOKEN))
    }

    /// Whether the caller has to queue the task. What it wrote before is seen by the poll that
    /// follows, also if the answer is no.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        self.0.fetch_or(WOKEN, Ordering::AcqRel) == 0
    }

    /// A poll begins, if the task was woken.
    #[inline]
    pub(crate) fn begin(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WOKEN && self.begin_woken()
    }

    /// A poll begins, unless the task is over. It takes the wakes before it.
    #[inline]
    pub(crate) fn begin_now(&self) -> bool {
        // Mostly nobody woke it.
        let begun = self.0.compare_exchange(0, POLLED, Ordering::AcqRel, Ordering::Relaxed);
        begun.is_ok() || self.begin_woken()
    }

    #[cold]
    fn begin_woken(&self) -> bool {
        if self.0.load(Ordering::Relaxed) & OVER != 0 {
            return false;
        }
        self.0.swap(POLLED, Ordering::AcqRel);
        true
    }

    /// A poll is over, and the task waits. Whether the loop has to queue it: it was woken
    /// meanwhile.
    #[inline]
    pub(crate) fn rest(&self) -> bool {
        let rests = self.0.compare_exchange(POLLED, 0, Ordering::AcqRel, Ordering::Relaxed);
        rests.is_err() && self.rest_woken()
    }

    #[cold]
    fn rest_woken(&self) -> bool {
        self.0.fetch_and(!POLLED, Ordering::AcqRel) == POLLED | WOKEN
    }

    /// Whether no poll begins any more.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) & OVER != 0
    }

    /// No poll begins from here on. Whether this is new.
    pub(crate) fn end(&self) -> bool {
        self.0.fetch_or(OVER, Ordering::AcqRel) & OVER == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_queues_and_the_others_do_not() {
        let s = Schedule::woken();
        assert_eq!([s.wake(), s.begin(), s.begin(), s.rest()], [false, true, false, false]);
        assert_eq!([s.wake(), s.wake(), s.begin(), s.rest()], [true, false, true, false]);
    }

    #[test]
    fn a_wake_during_the_poll_is_the_loops_to_queue() {
        let s = Schedule::woken();
        assert_eq!([s.begin(), s.wake(), s.wake(), s.rest()], [true, false, false, true]);
        assert_eq!([s.wake(), s.begin(), s.rest()], [false, true, false]);
    }

    #[test]
    fn nothing_begins_after_the_end() {
        let s = Schedule::woken();
        assert_eq!([s.is_over(), s.end(), s.end(), s.is_over()], [false, true, false, true]);
        assert_eq!([s.begin(), s.begin_now(), s.wake()], [false; 3]);
        let s = Schedule::woken();
        assert!(s.begin() && s.end());
        assert_eq!([s.wake(), s.rest(), s.begin(), s.wake()], [false; 4]);
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    /// A task, and the queue of its loop, as `Remote::notify` and the ready pass keep it.
    struct Task {
        schedule: Schedule,
        queue: Mutex<usize>,
        /// What wakers write before they wake.
        written: AtomicUsize,
    }

    impl Task {
        fn new() -> Arc<Task> {
            let (schedule, written) = (Schedule::woken(), AtomicUsize::new(0));
            Arc::new(Task { schedule, queue: Mutex::new(1), written })
        }

        fn wake(&self, bit: usize) {
            self.written.fetch_add(bit, Relaxed);
            if self.schedule.wake() {
                *self.queue.lock().unwrap() += 1;
            }
        }

        /// The loop takes the task out of its queue, if it is there, and polls it. What the poll
        /// saw.
        fn turn(&self) -> Option<usize> {
            let mut queue = self.queue.lock().unwrap();
            *queue = queue.checked_sub(1)?;
            drop(queue);
            if !self.schedule.begin() {
                return None;
            }
            let seen = self.written.load(Relaxed);
            if self.schedule.rest() {
                *self.queue.lock().unwrap() += 1;
            }
            Some(seen)
        }
    }

    /// Two threads wake while the loop polls: the last poll sees what both wrote.
    #[test]
    fn no_wake_is_lost() {
        loom::model(|| {
            let task = Task::new();
            let wakers = [1, 2].map(|bit| {
                let task = task.clone();
                thread::spawn(move || task.wake(bit))
            });
            let mut seen = task.turn();
            for waker in wakers {
                waker.join().unwrap();
            }
            while *task.queue.lock().unwrap() > 0 {
                seen = task.turn().or(seen);
            }
            assert_eq!(seen, Some(3));
        });
    }

    /// The task is in the queue at most once.
    #[test]
    fn it_is_queued_once() {
        loom::model(|| {
            let task = Task::new();
            let wakers = [1, 2].map(|bit| {
                let task = task.clone();
                thread::spawn(move || task.wake(bit))
            });
            task.turn();
            assert!(*task.queue.lock().unwrap() <= 1);
            for waker in wakers {
                waker.join().unwrap();
            }
            assert!(*task.queue.lock().unwrap() <= 1);
        });
    }

    /// A task that is closed while a thread wakes it is not polled after that.
    #[test]
    fn the_end_is_the_end() {
        loom::model(|| {
            let task = Task::new();
            let waker = {
                let task = task.clone();
                thread::spawn(move || task.wake(1))
            };
            task.turn();
            task.schedule.end();
            assert_eq!(task.turn(), None);
            waker.join().unwrap();
            assert_eq!(task.turn(), None);
        });
    }
}
