//! [`Link`]: one filter of a stack, what waits in front of it, and how far it is.
//!
//! | step | event | next |
//! |---|---|---|
//! | new | those below are ready, or bytes come | started |
//! | started | it says so, or leaves | ready: takes what waits |
//! | ready | our side ends, nothing waits | closed |
//! | any | it leaves | bytes pass it by; gone when nothing waits |
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use tidegate_stream::WriteState;

use crate::callbacks::filter::{Filter, FilterError, Held, Passed};
use crate::filter::call::{Called, call};

/// Memory that a waiting id costs.
const ID_SIZE: usize = size_of::<(u64, u64)>();

pub(crate) struct Link {
    pub(crate) filter: Box<dyn Filter>,
    /// What came from above and was not taken yet.
    waiting: WriteState,
    /// Ids of writes, each with the bytes that must have passed before it is for the next.
    ids: VecDeque<(u64, u64)>,
    /// Bytes that came from above.
    offered: u64,
    held: Held,
    pub(crate) started: bool,
    pub(crate) ready: bool,
    /// Nothing more comes from below.
    pub(crate) ended: bool,
    /// It said the end in a call for bytes from above, and that is to be passed on.
    pub(crate) end_later: bool,
    /// Nothing more comes from above.
    pub(crate) closing: bool,
    pub(crate) closed: bool,
    pub(crate) left: bool,
    /// A call of it failed: it is not called again, also not for answers to what it passed up.
    pub(crate) failed: bool,
}

// Inputs: what happened.
impl Link {
    pub(crate) fn new(filter: Box<dyn Filter>) -> Link {
        Link {
            filter,
            waiting: WriteState::new(usize::MAX, usize::MAX),
            ids: VecDeque::new(),
            offered: 0,
            held: Held::default(),
            started: false,
            ready: false,
            ended: false,
            end_later: false,
            closing: false,
            closed: false,
            left: false,
            failed: false,
        }
    }

    pub(crate) fn call<R>(
        &mut self,
        out: &mut Passed,
        f: impl FnOnce(&mut dyn Filter, &mut Passed) -> Result<R, FilterError>,
    ) -> Called<R> {
        call(&mut *self.filter, &mut self.held, out, f)
    }

    /// A call for what comes from above: nothing goes up, and an end goes there later. What the
    /// filter above it has passed up comes first.
    pub(crate) fn call_down<R>(
        &mut self,
        out: &mut Passed,
        f: impl FnOnce(&mut dyn Filter, &mut Passed) -> Result<R, FilterError>,
    ) -> Called<R> {
        let mut called = self.call(out, f);
        out.up.clear();
        self.end_later |= std::mem::take(&mut called.said.end);
        called
    }

    /// Bytes from above.
    pub(crate) fn keep(&mut self, data: &[u8]) {
        self.offered += data.len() as u64;
        self.waiting.push(data);
    }

    /// Bytes from above go past it, since it has left.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.offered += bytes as u64;
    }

    /// Bytes from above that nothing waits before: offered at once, then the rest is kept.
    pub(crate) fn take(&mut self, data: &[u8], out: &mut Passed) -> Called<usize> {
        let len = data.len();
        let called = self.call_down(out, |f, out| f.outbound(data, out));
        // Those of a call that failed are refused.
        if let Ok(taken) = &called.done {
            let taken = (*taken).min(len);
            self.offered += taken as u64;
            self.keep(&data[taken..]);
        }
        called
    }

    /// Offers the first piece of what waits.
    pub(crate) fn take_waiting(&mut self, out: &mut Passed) -> Called<usize> {
        let mut pieces = [&[][..]];
        self.waiting.gather(&mut pieces);
        let piece = pieces[0];
        let mut called =
            call(&mut *self.filter, &mut self.held, out, |f, out| f.outbound(piece, out));
        out.up.clear();
        self.end_later |= std::mem::take(&mut called.said.end);
        let len = piece.len();
        if let Ok(n) = &mut called.done {
            *n = (*n).min(len);
            self.waiting.advance(*n);
        }
        called
    }

    /// The first piece of what waits in front of a filter that left.
    pub(crate) fn take_past(&mut self, to: &mut Vec<u8>) {
        let mut pieces = [&[][..]];
        self.waiting.gather(&mut pieces);
        to.extend_from_slice(pieces[0]);
        let len = pieces[0].len();
        self.waiting.advance(len);
    }

    /// The write that was just made has this id.
    pub(crate) fn expect(&mut self, id: u64) {
        self.ids.push_back((self.offered, id));
    }
}

// Queries: they change nothing.
impl Link {
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether it takes bytes from above.
    pub(crate) fn takes(&self) -> bool {
        self.started && self.ready && !self.closed && !self.left && !self.failed
    }

    /// Whether nothing of it is left but its place.
    pub(crate) fn is_spent(&self) -> bool {
        self.left && !self.is_waiting() && self.ids.is_empty() && (self.closed || !self.closing)
    }

    /// Bytes from above that have not passed it.
    pub(crate) fn user(&self) -> usize {
        self.waiting.len() + self.held_user()
    }

    /// Of these, those in the filter.
    pub(crate) fn held_user(&self) -> usize {
        if self.left { 0 } else { self.held.user }
    }

    pub(crate) fn held_wire(&self) -> usize {
        if self.left { 0 } else { self.held.wire }
    }

    /// Memory of what came from above.
    pub(crate) fn accepted(&self) -> usize {
        self.waiting.held() + self.held_user() + self.ids.len() * ID_SIZE
    }
}

// Effects: what comes out, once.
impl Link {
    /// The next id whose bytes have passed.
    pub(crate) fn take_passed(&mut self) -> Option<u64> {
        let passed = self.offered - (self.user() as u64).min(self.offered);
        let (end, id) = *self.ids.front()?;
        if end > passed {
            return None;
        }
        self.ids.pop_front();
        Some(id)
    }

    /// The next id that waits, of a connection that is over.
    pub(crate) fn take_id(&mut self) -> Option<u64> {
        self.ids.pop_front().map(|(_, id)| id)
    }
}
