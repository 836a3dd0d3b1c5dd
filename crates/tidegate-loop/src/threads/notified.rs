//! The handles that are to be called because somebody notified them: keys from many threads to
//! one, in order. A key that waits already is not put in again.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::store::key::Key;
use crate::threads::sync::{AtomicBool, Mutex, Ordering, lock};

pub(crate) struct Notified {
    keys: Mutex<Keys>,
    /// Whether keys wait. Written under the lock, so that the owner reads it without.
    waiting: AtomicBool,
}

#[derive(Default)]
struct Keys {
    queue: VecDeque<Key>,
    /// By the index of a handle: its key in the queue.
    queued: Vec<Option<Key>>,
    gone: bool,
}

impl Notified {
    pub(crate) fn new() -> Notified {
        Notified { keys: Mutex::new(Keys::default()), waiting: AtomicBool::new(false) }
    }

    /// Puts a key in, unless it waits already or nobody takes it any more. Whether no key waited
    /// before: then the caller has to wake the owner, who will find what others add until then.
    pub(crate) fn push(&self, key: Key) -> bool {
        let mut keys = lock(&self.keys);
        // A key of generation 0 is one that never had a handle.
        if keys.gone || key.generation() == 0 {
            return false;
        }
        let index = key.index();
        if index >= keys.queued.len() {
            keys.queued.resize(index + 1, None);
        }
        // An older key of the same slot names a handle that is gone.
        if keys.queued[index].is_some_and(|queued| queued.generation() >= key.generation()) {
            return false;
        }
        keys.queued[index] = Some(key);
        keys.queue.push_back(key);
        self.waiting.store(true, Ordering::Release);
        keys.queue.len() == 1
    }

    /// The key that waits longest. From here on it can be put in again.
    pub(crate) fn take(&self) -> Option<Key> {
        let mut keys = lock(&self.keys);
        let key = keys.queue.pop_front()?;
        let queued = &mut keys.queued[key.index()];
        if *queued == Some(key) {
            *queued = None;
        }
        self.waiting.store(!keys.queue.is_empty(), Ordering::Release);
        Some(key)
    }

    /// Whether keys wait: what this thread put in, and what was put in before the wake-up that
    /// it saw last.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// From here on nothing is taken, and nothing waits.
    pub(crate) fn close(&self) {
        let mut keys = lock(&self.keys);
        *keys = Keys { gone: true, ..Keys::default() };
        self.waiting.store(false, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn key(generation: u32, index: usize) -> Key {
        Key::new(1, generation, index)
    }

    #[test]
    fn keys_come_in_order_and_once() {
        let notified = Notified::new();
        let (a, b) = (key(1, 3), key(1, 0));
        assert!(!notified.is_waiting());
        assert_eq!([a, b, a, b].map(|k| notified.push(k)), [true, false, false, false]);
        assert_eq!((notified.take(), notified.push(a)), (Some(a), false));
        assert_eq!([(); 3].map(|()| notified.take()), [Some(b), Some(a), None]);
        assert!(!notified.is_waiting() && notified.push(b));
    }

    /// The next handle in a slot is told apart from the one before, which is gone.
    #[test]
    fn a_slot_has_one_latest_key() {
        let notified = Notified::new();
        let (old, new) = (key(1, 5), key(2, 5));
        assert!(notified.push(old));
        assert_eq!([new, old, new].map(|k| notified.push(k)), [false; 3]);
        assert_eq!([(); 3].map(|()| notified.take()), [Some(old), Some(new), None]);
    }

    #[test]
    fn nothing_is_kept_for_keys_without_a_handle() {
        let notified = Notified::new();
        assert!(!notified.push(key(0, crate::store::key::CAPACITY)));
        assert_eq!(notified.take(), None);
        assert!(notified.push(key(1, 1)));
        notified.close();
        assert!(!notified.is_waiting() && !notified.push(key(1, 2)));
        assert_eq!(notified.take(), None);
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use crate::threads::mailbox::Mailbox;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use loom::thread;

    /// What the inbox of a loop does: a key, and a wake-up if it was the first.
    struct Inbox {
        notified: Notified,
        mailbox: Mailbox<()>,
        rings: AtomicUsize,
    }

    impl Inbox {
        fn new() -> Arc<Inbox> {
            let (notified, mailbox) = (Notified::new(), Mailbox::new(1));
            Arc::new(Inbox { notified, mailbox, rings: AtomicUsize::new(0) })
        }

        fn notify(&self, key: Key) {
            if self.notified.push(key) && self.mailbox.must_wake() {
                self.rings.fetch_add(1, Relaxed);
            }
        }

        /// A turn of the owner, who looks only if it was woken, or knows of more.
        fn turn(&self, got: &mut Vec<Key>, budget: usize) {
            if self.rings.swap(0, Relaxed) > 0 {
                self.mailbox.collect(&mut VecDeque::new());
            }
            for _ in 0..budget {
                if self.notified.is_waiting() {
                    got.extend(self.notified.take());
                }
            }
        }
    }

    fn keys() -> [Key; 3] {
        [0, 1, 2].map(|index| Key::new(1, 1, index))
    }

    /// Two threads and an owner with a budget of one key for each turn: each key that was
    /// notified is taken after that.
    #[test]
    fn a_notification_is_never_lost() {
        loom::model(|| {
            let inbox = Inbox::new();
            let [a, b, c] = keys();
            let senders = [vec![a, b], vec![c]].map(|keys| {
                let inbox = inbox.clone();
                thread::spawn(move || keys.into_iter().for_each(|key| inbox.notify(key)))
            });
            let mut got = Vec::new();
            inbox.turn(&mut got, 1);
            for sender in senders {
                sender.join().unwrap();
            }
            inbox.turn(&mut got, 3);
            assert!(got.iter().filter(|k| **k != c).eq([&a, &b]), "{got:?}");
            assert!(got.contains(&c) && got.len() == 3, "{got:?}");
        });
    }

    /// What was written before a notification that was left out, as one waited, is seen by the
    /// call that follows.
    #[test]
    fn a_call_sees_what_was_written_before_each_notification() {
        loom::model(|| {
            let inbox = Inbox::new();
            let [a, ..] = keys();
            let state = Arc::new(AtomicUsize::new(0));
            let senders = [1, 2].map(|bit| {
                let (inbox, state) = (inbox.clone(), state.clone());
                thread::spawn(move || {
                    state.fetch_add(bit, Relaxed);
                    inbox.notify(a);
                })
            });
            let (mut seen, mut got) = (0, Vec::new());
            for sender in senders {
                inbox.turn(&mut got, 1);
                if !got.is_empty() {
                    seen = state.load(Relaxed);
                    got.clear();
                }
                sender.join().unwrap();
            }
            inbox.turn(&mut got, 2);
            if !got.is_empty() {
                seen = state.load(Relaxed);
            }
            assert_eq!(seen, 3);
        });
    }

    /// The loop's end: nothing is kept, and nobody waits for it.
    #[test]
    fn closing_keeps_nothing() {
        loom::model(|| {
            let inbox = Inbox::new();
            let [a, ..] = keys();
            let sender = {
                let inbox = inbox.clone();
                thread::spawn(move || inbox.notify(a))
            };
            inbox.notified.close();
            sender.join().unwrap();
            assert!(!inbox.notified.is_waiting() && inbox.notified.take().is_none());
        });
    }
}
