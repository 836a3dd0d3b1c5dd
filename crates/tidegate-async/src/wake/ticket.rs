//! [`Ticket`]: what the wakers of a task share. A key, and the way to its loop: a wake moves no
//! future to another thread, and the last waker drops none there.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::Wake;

use tidegate_loop::Key;

use crate::wake::home::Home;
use crate::wake::schedule::Schedule;

pub(crate) struct Ticket {
    pub(crate) schedule: Schedule,
    pub(crate) home: Arc<Home>,
    pub(crate) key: Key,
}

impl Ticket {
    /// Of a new task, which its loop is notified of.
    pub(crate) fn notified(home: Arc<Home>, key: Key) -> Arc<Ticket> {
        home.remote.notify(key);
        Arc::new(Ticket { schedule: Schedule::woken(), home, key })
    }

    #[inline]
    pub(crate) fn wake_up(&self) {
        if self.schedule.wake() {
            self.home.remote.notify(self.key);
        }
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Ticket>) {
        self.wake_up();
    }

    fn wake_by_ref(self: &Arc<Ticket>) {
        self.wake_up();
    }
}
