//! The ticks that wait, and how many may still run in this turn.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

/// Callbacks of type `F`, in order.
pub(crate) struct Ticks<F> {
    queue: VecDeque<F>,
    left: u32,
}

impl<F> Default for Ticks<F> {
    fn default() -> Ticks<F> {
        Ticks { queue: VecDeque::new(), left: 0 }
    }
}

impl<F> Ticks<F> {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn push(&mut self, f: F) {
        self.queue.push_back(f);
    }

    /// A new turn: the budget is whole again.
    pub(crate) fn open_turn(&mut self, budget: u32) {
        self.left = budget;
    }

    /// The next one, unless this turn's budget is spent.
    pub(crate) fn take(&mut self) -> Option<F> {
        if self.left == 0 {
            return None;
        }
        let f = self.queue.pop_front()?;
        self.left -= 1;
        Some(f)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
