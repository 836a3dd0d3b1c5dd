//! [`Stack`]: the filters of a connection, and how bytes go from one to the next.
//!
//! ```text
//! kernel -> inbound(0) -> up -> inbound(1) -> up -> ... -> inbox -> handler
//! kernel <- wire <- down <- outbound(0) <- down <- outbound(1) <- ... <- user
//! ```
//! Each call is followed by what it caused, downwards first: `down`, then what `ready` lets
//! go on, then `up`, then the end. After that all that waits is offered again. A filter that
//! left stays in its place, passed by, until the run is over.
#![forbid(unsafe_code)]

use std::io::ErrorKind;

use tidegate_stream::Beside;

use crate::callbacks::filter::{Filter, FilterError, Passed, Said};
use crate::event::{NetEvent, SocketEvent};
use crate::filter::call::{Called, Fault};
use crate::filter::link::Link;

type Done = Result<(), Fault>;

/// What one run of the filters works with.
pub(crate) struct Run<'a> {
    /// What a filter is called with.
    pub(crate) out: &'a mut Passed,
    /// What is for the kernel.
    pub(crate) wire: &'a mut Vec<u8>,
    /// Writes of the user's are held back.
    pub(crate) corked: bool,
}

/// The error of a filter, to be told.
pub(crate) struct Failed {
    pub(crate) error: FilterError,
    /// Of an error that says nothing of its kind.
    pub(crate) otherwise: ErrorKind,
    /// There are last bytes for the peer.
    pub(crate) spoke: bool,
}

/// The filters of a connection, the first nearest to the kernel.
#[derive(Default)]
pub(crate) struct Stack {
    links: Vec<Link>,
    /// What was passed up to the handler and not delivered yet.
    pub(crate) inbox: Vec<u8>,
    /// The end that was passed up to the handler is to be told.
    pub(crate) end_due: bool,
    /// That all are ready was told, or concerns nobody.
    pub(crate) ready_told: bool,
    pub(crate) poked: bool,
    /// What came with the last `ready`, and is sent with the first write after it.
    pub(crate) later: Vec<u8>,
    /// A filter failed; what was passed up before is delivered first.
    pub(crate) failed: Option<Box<Failed>>,
    /// It waits for its step: see `server/gate.rs`.
    pub(crate) in_line: bool,
    /// The dispatch in which it is offered goes on with it.
    pub(crate) passes_gate: bool,
    /// A filter asked for `TCP_NODELAY`.
    pub(crate) no_delay: bool,
    /// The peer's FIN was read.
    pub(crate) fin: bool,
    /// The connection is made: filters are started.
    pub(crate) made: bool,
    closing: bool,
    closed: bool,
    /// The lifetime that begins when all are ready.
    pub(crate) lifetime_ms: u32,
    /// The deadline until all are ready is a separate one.
    pub(crate) has_deadline: bool,
}

// Inputs: what happened.
impl Stack {
    /// A new filter, nearest to the user. What was passed up before and not delivered goes
    /// through it.
    pub(crate) fn push(&mut self, filter: Box<dyn Filter>) {
        self.links.push(Link::new(filter));
        self.ready_told = false;
    }

    /// The connection is made, or a filter was pushed.
    pub(crate) fn start(&mut self, run: &mut Run<'_>) -> Done {
        self.made = true;
        if let Some(top) = self.links.len().checked_sub(1) {
            let mut early = std::mem::take(&mut self.inbox);
            if !early.is_empty() {
                self.up(top, &mut early, run)?;
            }
            if std::mem::take(&mut self.end_due) {
                self.end_up(top, run)?;
            }
        }
        self.go_on(run)
    }

    /// Bytes from the kernel.
    pub(crate) fn inbound(&mut self, bytes: &mut [u8], run: &mut Run<'_>) -> Done {
        self.up(0, bytes, run)?;
        self.go_on(run)
    }

    /// The peer's FIN.
    pub(crate) fn inbound_end(&mut self, run: &mut Run<'_>) -> Done {
        self.fin = true;
        self.end_up(0, run)?;
        self.go_on(run)
    }

    /// The user writes.
    pub(crate) fn outbound(&mut self, data: &[u8], run: &mut Run<'_>) -> Done {
        match self.links.len() {
            0 => run.wire.extend_from_slice(data),
            n => self.offer(n - 1, data, run)?,
        }
        self.go_on(run)
    }

    /// Something has changed: what waits is offered again.
    pub(crate) fn again(&mut self, run: &mut Run<'_>) -> Done {
        self.go_on(run)
    }

    /// The user ends our side.
    pub(crate) fn close(&mut self, run: &mut Run<'_>) -> Done {
        self.closing = true;
        match self.links.last_mut() {
            Some(top) => top.closing = true,
            None => self.closed = true,
        }
        self.go_on(run)
    }

    pub(crate) fn poke(&mut self, run: &mut Run<'_>) -> Done {
        self.poked = false;
        for k in 0..self.links.len() {
            if self.links[k].started && !self.links[k].left {
                self.call(k, run, |f, out| f.poke(out))?;
            }
        }
        self.go_on(run)
    }

    /// The write that was just made has this id. `false` if it passed all filters.
    pub(crate) fn expect(&mut self, id: u64) -> bool {
        match self.links.last_mut() {
            Some(top) => top.expect(id),
            None => return false,
        }
        true
    }
}

// Queries: they change nothing.
impl Stack {
    pub(crate) fn is_ready(&self) -> bool {
        self.made && self.links.iter().all(|l| l.ready)
    }

    /// Whether bytes pass unchanged from now on, and nothing is kept.
    pub(crate) fn is_spent(&self) -> bool {
        let told = self.ready_told && !self.waits() && !self.poked && self.later.is_empty();
        self.links.is_empty() && told && !self.fin && !self.closing
    }

    /// Whether no filter is left, and nothing is kept or to be told to the kernel.
    pub(crate) fn is_empty(&self) -> bool {
        let kept = self.waits() || !self.later.is_empty() || self.failed.is_some();
        self.links.is_empty() && !kept && !self.closing
    }

    /// Whether bytes, or the end, are to be delivered.
    pub(crate) fn waits(&self) -> bool {
        !self.inbox.is_empty() || self.end_due
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn links(&self) -> usize {
        self.links.len()
    }

    /// Bytes of the user's that wait here.
    pub(crate) fn user(&self) -> usize {
        self.links.iter().map(Link::user).sum()
    }

    /// The memory of what is kept here.
    pub(crate) fn memory(&self) -> Beside {
        let wire: usize = self.links.iter().map(Link::held_wire).sum();
        Beside {
            accepted: self.links.iter().map(Link::accepted).sum(),
            received: self.inbox.len() + wire,
        }
    }

    /// Whether the drain and our end have to wait for what is kept here.
    pub(crate) fn holds_back(&self, high_water_mark: usize) -> bool {
        if self.closing {
            return !self.closed;
        }
        let held: usize = self.links.iter().map(Link::held_user).sum();
        self.links.iter().any(Link::is_waiting) || held >= high_water_mark.max(1)
    }

    pub(crate) fn describe(&self) -> Option<String> {
        let waits = self.links.iter().find(|l| !l.ready)?;
        Some(waits.filter.describe())
    }

    /// The filter of this type nearest to the user.
    pub(crate) fn find<T: Filter>(&mut self) -> Option<&mut T> {
        let filters = self.links.iter_mut().rev().map(|l| &mut *l.filter);
        filters.filter_map(|f| f.as_any_mut().downcast_mut()).next()
    }
}

// Effects: what comes out, once.
impl Stack {
    /// Takes as many of the bytes for the handler as the buffer has room for.
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let n = self.inbox.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.inbox[..n]);
        if n == self.inbox.len() {
            self.inbox = Vec::new();
        } else {
            self.inbox.drain(..n);
        }
        n
    }

    /// Those that left, or all.
    pub(crate) fn take_filters(&mut self, all: bool) -> Vec<Box<dyn Filter>> {
        if !all && !self.links.iter().any(Link::is_spent) {
            return Vec::new();
        }
        let (gone, stay) = self.links.drain(..).partition::<Vec<_>, _>(|l| all || l.is_spent());
        self.links = stay;
        gone.into_iter().map(|l| l.filter).collect()
    }

    /// The next id whose bytes have passed all filters. Ids go from filter to filter.
    pub(crate) fn take_passed(&mut self) -> Option<u64> {
        for k in (1..self.links.len()).rev() {
            while let Some(id) = self.links[k].take_passed() {
                self.links[k - 1].expect(id);
            }
        }
        self.links.first_mut()?.take_passed()
    }

    /// The next id that waits, of a connection that is over.
    pub(crate) fn take_id(&mut self) -> Option<u64> {
        self.links.iter_mut().find_map(Link::take_id)
    }
}

// How bytes go.
impl Stack {
    /// Starts those that may start, offers what waits, and again, as long as one gets further.
    fn go_on(&mut self, run: &mut Run<'_>) -> Done {
        loop {
            let before = self.progress();
            for k in 0..self.links.len() {
                if !self.made {
                    break;
                }
                self.start_one(k, run)?;
                if !self.links[k].ready {
                    break;
                }
            }
            for k in (0..self.links.len()).rev() {
                self.pump(k, run)?;
            }
            for k in 0..self.links.len() {
                let link = &mut self.links[k];
                if std::mem::take(&mut link.end_later) && !std::mem::replace(&mut link.ended, true)
                {
                    self.end_up(k + 1, run)?;
                }
            }
            if self.progress() == before {
                return Ok(());
            }
        }
    }

    fn progress(&self) -> usize {
        let steps = |l: &Link| [l.started, l.ready, l.left, l.ended, l.closed].map(usize::from);
        self.links.iter().flat_map(steps).sum()
    }

    fn start_one(&mut self, k: usize, run: &mut Run<'_>) -> Done {
        if self.links[k].started || self.links[k].left {
            return Ok(());
        }
        self.links[k].started = true;
        self.call(k, run, |f, out| f.start(out))
    }

    /// Calls a filter, and what follows from it.
    fn call(
        &mut self,
        k: usize,
        run: &mut Run<'_>,
        f: impl FnOnce(&mut dyn Filter, &mut Passed) -> Result<(), FilterError>,
    ) -> Done {
        let called = self.links[k].call(run.out, f);
        self.follow(k, called, run)
    }

    fn follow<R>(&mut self, k: usize, called: Called<R>, run: &mut Run<'_>) -> Result<R, Fault> {
        let Called { done, said, name } = called;
        let Said { ready, end, leave, no_delay } = said;
        self.no_delay |= no_delay;
        if let Some(filter) = name {
            let first = ready && !self.links[k].ready;
            tell(run.out, filter, done.is_err(), first, leave);
        }
        let (mut up, mut down) = (Vec::new(), Vec::new());
        std::mem::swap(&mut up, &mut run.out.up);
        std::mem::swap(&mut down, &mut run.out.down);
        let link = &mut self.links[k];
        let was_closed = link.closed;
        if !was_closed && !down.is_empty() {
            if k == 0 && run.wire.is_empty() {
                std::mem::swap(run.wire, &mut down);
            } else {
                self.down(k, &down, run)?;
            }
        }
        let is_done = done.is_ok();
        let link = &mut self.links[k];
        link.failed |= !is_done;
        let had_ended = link.ended;
        if is_done {
            link.ready |= ready || leave;
            link.left |= leave;
            link.ended |= end;
        }
        // Also of a call that failed.
        if !had_ended && !up.is_empty() {
            self.up_from(k, &mut up, run)?;
        }
        if is_done && !had_ended && end {
            self.end_up(k + 1, run)?;
        }
        // The loop's buffers go back.
        for (buffer, of) in [(up, &mut run.out.up), (down, &mut run.out.down)] {
            if buffer.capacity() > of.capacity() {
                *of = buffer;
                of.clear();
            }
        }
        done
    }

    /// Bytes that the filter `k` passes down.
    fn down(&mut self, k: usize, data: &[u8], run: &mut Run<'_>) -> Done {
        match k {
            0 => run.wire.extend_from_slice(data),
            _ => self.offer(k - 1, data, run)?,
        }
        Ok(())
    }

    /// Bytes for the filter `k` from above.
    fn offer(&mut self, k: usize, data: &[u8], run: &mut Run<'_>) -> Done {
        let link = &mut self.links[k];
        if link.left && !link.is_waiting() {
            link.pass(data.len());
            return self.down(k, data, run);
        }
        if link.is_waiting() || !self.takes(k, run) {
            self.links[k].keep(data);
            return Ok(());
        }
        let called = self.links[k].take(data, run.out);
        self.follow(k, called, run).map(|_| ())
    }

    fn takes(&self, k: usize, run: &Run<'_>) -> bool {
        self.links[k].takes() && !(run.corked && k + 1 == self.links.len())
    }

    /// Offers what waits in front of `k`, and its end.
    fn pump(&mut self, k: usize, run: &mut Run<'_>) -> Done {
        while self.links[k].is_waiting() && self.takes(k, run) {
            let called = self.links[k].take_waiting(run.out);
            if self.follow(k, called, run)? == 0 {
                return Ok(());
            }
        }
        while self.links[k].left && self.links[k].is_waiting() {
            let mut bytes = Vec::new();
            self.links[k].take_past(&mut bytes);
            self.down(k, &bytes, run)?;
        }
        let link = &mut self.links[k];
        if !link.closing || link.closed || link.is_waiting() {
            return Ok(());
        }
        if link.takes() {
            let called = link.call_down(run.out, |f, out| f.close(out));
            let done = self.follow(k, called, run);
            self.links[k].closed = true;
            done?;
        }
        let link = &mut self.links[k];
        if link.left {
            link.closed = true;
        }
        if link.closed {
            match k {
                0 => self.closed = true,
                _ => self.links[k - 1].closing = true,
            }
        }
        Ok(())
    }

    /// Bytes that the filter `k` passes up.
    fn up_from(&mut self, k: usize, bytes: &mut Vec<u8>, run: &mut Run<'_>) -> Done {
        if k + 1 < self.links.len() {
            return self.up(k + 1, bytes, run);
        }
        if self.inbox.is_empty() {
            std::mem::swap(&mut self.inbox, bytes);
        } else {
            self.inbox.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Bytes for the filter `k` from below.
    fn up(&mut self, k: usize, bytes: &mut [u8], run: &mut Run<'_>) -> Done {
        match self.links.get(k) {
            None => self.inbox.extend_from_slice(bytes),
            Some(link) if link.ended && !link.left => {}
            Some(link) if link.left => return self.up(k + 1, bytes, run),
            Some(_) => {
                self.start_one(k, run)?;
                if self.links[k].left || self.links[k].ended {
                    return self.up(k, bytes, run);
                }
                self.call(k, run, |f, out| f.inbound(bytes, out))?;
            }
        }
        Ok(())
    }

    /// The end for the filter `k` from below.
    fn end_up(&mut self, k: usize, run: &mut Run<'_>) -> Done {
        let Some(link) = self.links.get(k) else {
            self.end_due = true;
            return Ok(());
        };
        if link.left {
            return self.end_up(k + 1, run);
        }
        if link.ended {
            return Ok(());
        }
        self.start_one(k, run)?;
        if self.links[k].left || self.links[k].ended {
            return self.end_up(k, run);
        }
        let truncated = |fault| match fault {
            Fault::Refused(e) => Fault::Truncated(e),
            other => other,
        };
        let mut called = self.links[k].call(run.out, |f, out| f.inbound_end(out));
        called.done = called.done.map_err(truncated);
        self.follow(k, called, run)
    }
}

/// Tells the observer what a filter said; it gets that when the run is over.
#[cold]
fn tell(out: &mut Passed, filter: String, refused: bool, ready: bool, left: bool) {
    let mut emit = |event| out.emit(|of| NetEvent::Socket(of, event));
    match (refused, ready, left) {
        (true, ..) => emit(SocketEvent::FilterRefused { filter }),
        (_, true, true) => {
            emit(SocketEvent::FilterReady { filter: filter.clone() });
            emit(SocketEvent::FilterLeft { filter });
        }
        (_, true, _) => emit(SocketEvent::FilterReady { filter }),
        (_, _, true) => emit(SocketEvent::FilterLeft { filter }),
        _ => {}
    }
}
