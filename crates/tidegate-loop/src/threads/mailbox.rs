//! A bounded queue from many threads to one, and the flag that coalesces its
//! wake-ups: however many put something in before the owner looks, one of them is
//! told to wake it.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::threads::sync::{AtomicBool, Mutex, Ordering, lock};

pub(crate) struct Mailbox<T> {
    queue: Mutex<Queue<T>>,
    /// The owner was woken and has not looked yet.
    woken: AtomicBool,
    limit: usize,
}

struct Queue<T> {
    items: VecDeque<T>,
    gone: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Gone,
    Full,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(limit: usize) -> Mailbox<T> {
        let queue = Mutex::new(Queue { items: VecDeque::new(), gone: false });
        Mailbox { queue, woken: AtomicBool::new(false), limit }
    }

    /// Puts an item in, unless there is no room or nobody to take it. `make` runs
    /// only then, under the lock.
    pub(crate) fn push(&self, make: impl FnOnce() -> T) -> Result<(), Refused> {
        let mut queue = lock(&self.queue);
        if queue.gone {
            return Err(Refused::Gone);
        }
        if queue.items.len() >= self.limit {
            return Err(Refused::Full);
        }
        queue.items.push_back(make());
        Ok(())
    }

    /// Whether the caller has to wake the owner. A caller that gets `false` may rely on it:
    /// the owner will look, and will see all that was written before this call.
    ///
    /// The exchange is what makes that right. A look at the flag first would be cheaper,
    /// but it could run before the caller's own writes are seen, and the owner look in
    /// between.
    pub(crate) fn must_wake(&self) -> bool {
        !self.woken.swap(true, Ordering::AcqRel)
    }

    /// The same after a [`push`](Mailbox::push), whose lock makes the look right, before
    /// the exchange that all callers would fight for: if the owner has looked since, this
    /// sees it; if not, it will find the item.
    pub(crate) fn must_wake_for_item(&self) -> bool {
        !self.woken.load(Ordering::Relaxed) && self.must_wake()
    }

    /// The wake-up failed: the flag must not claim one that never came.
    pub(crate) fn wake_failed(&self) {
        self.woken.store(false, Ordering::Release);
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Takes what is there. The flag falls first, so that what comes after wakes
    /// again.
    pub(crate) fn collect(&self, into: &mut VecDeque<T>) {
        self.woken.swap(false, Ordering::AcqRel);
        into.append(&mut lock(&self.queue).items);
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.queue).items.len()
    }

    /// From here on everything is refused. What was not collected comes back.
    pub(crate) fn close(&self) -> VecDeque<T> {
        let mut queue = lock(&self.queue);
        queue.gone = true;
        std::mem::take(&mut queue.items)
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use loom::thread;

    /// Two senders and an owner that looks only when it was woken: nothing is lost,
    /// each sender's items keep their order.
    #[test]
    fn a_post_is_never_lost() {
        loom::model(|| {
            let mailbox = Arc::new(Mailbox::new(8));
            let wakes = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = [2, 1]
                .into_iter()
                .enumerate()
                .map(|(sender, items)| {
                    let (mailbox, wakes) = (mailbox.clone(), wakes.clone());
                    thread::spawn(move || {
                        for n in 0..items {
                            mailbox.push(|| (sender, n)).unwrap();
                            if mailbox.must_wake_for_item() {
                                wakes.fetch_add(1, Relaxed);
                            }
                        }
                    })
                })
                .collect();
            let mut got = VecDeque::new();
            if wakes.swap(0, Relaxed) > 0 {
                mailbox.collect(&mut got);
            }
            for sender in senders {
                sender.join().unwrap();
            }
            if wakes.swap(0, Relaxed) > 0 {
                mailbox.collect(&mut got);
            }
            let of = |sender| got.iter().filter(move |(s, _)| *s == sender).map(|(_, n)| *n);
            assert!(of(0).eq([0, 1]) && of(1).eq([0]), "{got:?}");
        });
    }

    /// `wake` without an item: what was written before it is seen by the look that
    /// it causes, or was seen by the one before.
    #[test]
    fn a_wake_carries_what_was_written_before_it() {
        loom::model(|| {
            let mailbox = Arc::new(Mailbox::<()>::new(1));
            let wakes = Arc::new(AtomicUsize::new(0));
            let state = Arc::new(AtomicUsize::new(0));
            let sender = {
                let (mailbox, wakes, state) = (mailbox.clone(), wakes.clone(), state.clone());
                thread::spawn(move || {
                    for n in 1..=2 {
                        state.store(n, Relaxed);
                        if mailbox.must_wake() {
                            wakes.fetch_add(1, Relaxed);
                        }
                    }
                })
            };
            let (mut seen, mut none) = (0, VecDeque::new());
            if wakes.swap(0, Relaxed) > 0 {
                mailbox.collect(&mut none);
                seen = state.load(Relaxed);
            }
            sender.join().unwrap();
            if wakes.swap(0, Relaxed) > 0 {
                mailbox.collect(&mut none);
                seen = state.load(Relaxed);
            }
            assert_eq!(seen, 2);
        });
    }

    /// A mailbox that closes takes an item or refuses it, never neither.
    #[test]
    fn closing_loses_nothing() {
        loom::model(|| {
            let mailbox = Arc::new(Mailbox::new(8));
            let sender = {
                let mailbox = mailbox.clone();
                thread::spawn(move || mailbox.push(|| 1).is_ok())
            };
            let left = mailbox.close();
            let taken = sender.join().unwrap();
            assert_eq!(left.len(), usize::from(taken));
        });
    }
}
