//! `next_tick`: callbacks that run right after the current one, bounded per
//! turn so that they cannot starve the poller.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::cx::Cx;

pub(crate) type TickFn = Box<dyn FnOnce(&mut Cx<'_>)>;

#[derive(Default)]
pub(crate) struct Ticks {
    queue: VecDeque<TickFn>,
    left: u32,
}

impl Ticks {
    pub(crate) fn push(&mut self, f: TickFn) {
        self.queue.push_back(f);
    }

    /// A new turn: the budget is whole again.
    pub(crate) fn open_turn(&mut self, budget: u32) {
        self.left = budget;
    }

    /// The next one, unless this turn's budget is spent.
    pub(crate) fn take(&mut self) -> Option<TickFn> {
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
