//! [`Home`]: the loop that a value belongs to, as far as any thread may know it.
//!
//! A socket or a task that is dropped in a poll of its loop ends at once. Dropped anywhere else (in
//! a callback, after the run, on another thread) it leaves a note here, and the loop does the rest.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_loop::{Cx, Key, Remote};

/// What the loop is to do for a value that was dropped elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Note {
    pub(crate) act: fn(&mut Cx<'_>, Note),
    pub(crate) key: Key,
    /// Its place in the layer.
    pub(crate) at: usize,
    /// Which of those that had this place.
    pub(crate) number: u64,
}

impl Note {
    pub(crate) fn new(act: fn(&mut Cx<'_>, Note), key: impl Into<Key>, at: usize) -> Note {
        Note { act, key: key.into(), at, number: 0 }
    }
}

pub(crate) struct Home {
    pub(crate) remote: Remote,
    /// The handle that reads the notes.
    janitor: Key,
    gone: AtomicBool,
    /// Wakers of this loop's tasks that values of this thread keep, which are not the loop's.
    pub(crate) kept_here: AtomicUsize,
    /// Few for each value: that it is dropped, and that it is to end.
    notes: Mutex<VecDeque<Note>>,
}

impl Home {
    pub(crate) fn new(remote: Remote, janitor: Key) -> Home {
        Home {
            remote,
            janitor,
            gone: AtomicBool::new(false),
            kept_here: AtomicUsize::new(0),
            notes: Mutex::new(VecDeque::new()),
        }
    }

    /// A key for notes that need none of their own.
    pub(crate) fn key(&self) -> Key {
        self.janitor
    }

    fn notes(&self) -> MutexGuard<'_, VecDeque<Note>> {
        // Nothing in here panics while it is locked.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a note. Nothing, if the loop is gone, and with it all that it would act on.
    pub(crate) fn note(&self, note: Note) {
        if !self.is_gone() {
            self.notes().push_back(note);
            self.remote.notify(self.janitor);
        }
    }

    /// Takes up to so many of the notes, and notifies the janitor if there are more.
    pub(crate) fn take(&self, most: usize, into: &mut Vec<Note>) {
        let mut notes = self.notes();
        let n = notes.len().min(most);
        into.extend(notes.drain(..n));
        if !notes.is_empty() {
            self.remote.notify(self.janitor);
        }
    }

    /// The loop was dropped.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.gone.store(true, Ordering::Release);
        self.notes().clear();
    }
}
