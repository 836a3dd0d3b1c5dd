//! The test of `stack.rs` and its fuzz target: any program of calls on a stack of filters that
//! keep, split, are late and leave, against plain vectors.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::callbacks::filter::{Filter, FilterError, Held, Passed};
use crate::filter::call::Fault;
use crate::filter::stack::{Run, Stack};

/// What the filters decide by, the rest of the program; and whether they keep nothing any more.
#[derive(Clone, Default)]
struct Decisions(Rc<RefCell<VecDeque<u8>>>, Rc<Cell<bool>>);

impl Decisions {
    fn next(&self) -> usize {
        self.0.borrow_mut().pop_front().unwrap_or(0).into()
    }

    /// At most so many.
    fn some_of(&self, most: usize) -> usize {
        if self.1.get() { most } else { self.next() % (most + 1) }
    }

    fn one_in(&self, n: usize) -> bool {
        self.1.get() || self.next() % n == 0
    }
}

/// Keeps bytes of both ways for as long as it likes, and changes none.
struct Odd {
    decide: Decisions,
    up: Vec<u8>,
    down: Vec<u8>,
    started: bool,
    ready: bool,
    fin: bool,
    ended: bool,
    gone: bool,
}

impl Odd {
    fn new(decide: Decisions) -> Odd {
        let (up, down) = (Vec::new(), Vec::new());
        let (started, ready, fin, ended, gone) = (false, false, false, false, false);
        Odd { decide, up, down, started, ready, fin, ended, gone }
    }

    /// What it does in each call. In `outbound` nothing may go up.
    fn go_on(&mut self, out: &mut Passed, up: bool) -> Result<(), FilterError> {
        assert!(self.started && !self.gone);
        let n = if up { self.decide.some_of(self.up.len()) } else { 0 };
        out.up.extend(self.up.drain(..n));
        let n = self.decide.some_of(self.down.len());
        out.down.extend(self.down.drain(..n));
        if !self.ready && self.decide.one_in(4) {
            self.ready = true;
            out.ready();
        }
        let leaves = up && self.ready && !self.decide.1.get() && self.decide.next() % 16 == 15;
        if leaves {
            out.up.append(&mut self.up);
            out.down.append(&mut self.down);
            self.gone = true;
            out.leave();
        }
        if self.fin && !self.ended && self.up.is_empty() && (leaves || self.decide.one_in(2)) {
            self.ended = true;
            out.end();
        }
        if self.decide.0.borrow().front() == Some(&255) { Err("odd".into()) } else { Ok(()) }
    }
}

impl Filter for Odd {
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        assert!(!self.started);
        self.started = true;
        self.go_on(out, true)
    }

    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        assert!(!self.fin && !self.ended);
        self.up.extend_from_slice(wire);
        self.go_on(out, true)
    }

    fn inbound_end(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        assert!(!self.fin && !self.ended);
        self.fin = true;
        self.go_on(out, true)
    }

    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        assert!(self.ready && !user.is_empty());
        let taken = self.decide.some_of(user.len());
        self.down.extend_from_slice(&user[..taken]);
        self.go_on(out, false)?;
        Ok(taken)
    }

    fn close(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        assert!(self.ready);
        out.down.append(&mut self.down);
        Ok(())
    }

    fn poke(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        self.go_on(out, true)
    }

    fn held(&self) -> Held {
        Held { user: self.down.len(), wire: self.up.len() }
    }
}

/// A stack, and what must be true of it.
#[derive(Default)]
struct Bench {
    stack: Stack,
    out: Passed,
    corked: bool,
    /// What went in from below and what came out above; how often the end did.
    fed: Vec<u8>,
    got: Vec<u8>,
    ends: u32,
    /// What was written above and what came out below.
    written: Vec<u8>,
    wire: Vec<u8>,
    /// Ids that wait, each with the bytes that were written up to it.
    ids: VecDeque<(u64, usize)>,
    closing: bool,
    over: bool,
}

impl Bench {
    fn run(&mut self, f: impl FnOnce(&mut Stack, &mut Run<'_>) -> Result<(), Fault>) {
        let mut wire = Vec::new();
        let mut run = Run { out: &mut self.out, wire: &mut wire, corked: self.corked };
        match f(&mut self.stack, &mut run) {
            Ok(()) => {}
            Err(Fault::Panicked(payload)) => std::panic::resume_unwind(payload),
            Err(_) => self.over = true,
        }
        self.wire.extend(wire);
        drop(self.stack.take_filters(false));
        self.check();
    }

    fn check(&mut self) {
        assert!(self.written.starts_with(&self.wire), "lost or changed on the way down");
        let up = [&self.got[..], &self.stack.inbox].concat();
        assert!(self.fed.starts_with(&up), "lost or changed on the way up");
        // A filter that failed says nothing of what it kept.
        while let Some(id) = (!self.over).then(|| self.stack.take_passed()).flatten() {
            let (expected, end) = self.ids.pop_front().expect("an id that nobody wrote");
            assert!(id == expected && end <= self.wire.len());
        }
        if self.over {
            return;
        }
        assert_eq!(self.wire.len() + self.stack.user(), self.written.len());
        let memory = self.stack.memory();
        assert_eq!(memory.received + self.got.len(), self.fed.len());
        assert!(memory.accepted >= self.stack.user());
        assert!(!self.stack.end_due || memory.received == self.stack.inbox.len());
    }

    fn take(&mut self, most: usize) {
        if !self.stack.is_ready() {
            return;
        }
        let mut buffer = vec![0; most];
        let n = self.stack.take(&mut buffer);
        self.got.extend_from_slice(&buffer[..n]);
        if self.stack.inbox.is_empty() && std::mem::take(&mut self.stack.end_due) {
            self.ends += 1;
            assert!(self.stack.fin && self.got.len() == self.fed.len());
        }
        self.check();
    }

    fn push(&mut self, decide: &Decisions) {
        self.stack.push(Box::new(Odd::new(decide.clone())));
        if self.stack.made {
            self.run(|stack, run| stack.start(run));
        }
    }

    fn step(&mut self, decide: &Decisions, next: &mut u8) {
        let op = decide.next() % 12;
        let n = decide.next();
        let mut bytes = vec![0; n];
        bytes.iter_mut().for_each(|b| {
            *next = next.wrapping_add(1);
            *b = *next;
        });
        match op {
            0 if self.stack.links() < 4 => self.push(decide),
            1 if !self.stack.made => self.run(|stack, run| stack.start(run)),
            2 | 3 if self.stack.made && !self.stack.fin && n > 0 => {
                self.fed.extend_from_slice(&bytes);
                self.run(|stack, run| stack.inbound(&mut bytes, run));
            }
            4 if self.stack.made && !self.stack.fin => {
                self.run(|stack, run| stack.inbound_end(run));
            }
            5 | 6 if !self.closing && n > 0 => {
                self.written.extend_from_slice(&bytes);
                self.run(|stack, run| stack.outbound(&bytes, run));
                let id = self.written.len() as u64;
                if n % 2 == 0 && self.stack.expect(id) {
                    self.ids.push_back((id, self.written.len()));
                }
                self.check();
            }
            7 if n % 4 == 0 && !self.closing => {
                self.closing = true;
                self.corked = false;
                self.run(|stack, run| stack.close(run));
            }
            8 => self.run(|stack, run| stack.poke(run)),
            9 => self.run(|stack, run| stack.again(run)),
            10 => self.take(n),
            11 if !self.closing => self.corked = n % 2 == 0,
            _ => {}
        }
    }
}

/// Runs a program. The first byte says how many filters there are at the beginning.
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub fn run(program: &[u8]) {
    let decide = Decisions::default();
    decide.0.borrow_mut().extend(program);
    let mut bench = Bench::default();
    for _ in 0..decide.next() % 4 {
        bench.push(&decide);
    }
    let mut next = 0;
    while !decide.0.borrow().is_empty() && !bench.over {
        bench.step(&decide, &mut next);
    }
    if bench.over {
        return;
    }
    // Now nobody keeps anything: all of it comes out, and the ends.
    decide.1.set(true);
    bench.corked = false;
    if !bench.stack.made {
        bench.run(|stack, run| stack.start(run));
    }
    for _ in 0..4 {
        bench.run(|stack, run| stack.poke(run));
        bench.take(bench.fed.len());
    }
    if !bench.stack.fin {
        bench.run(|stack, run| stack.inbound_end(run));
    }
    bench.take(0);
    if !bench.closing {
        bench.run(|stack, run| stack.close(run));
    }
    assert!(bench.stack.is_ready() && !bench.stack.holds_back(1));
    assert!(bench.got == bench.fed && bench.wire == bench.written);
    assert_eq!((bench.ends, bench.ids.len()), (1, 0));
    let memory = bench.stack.memory();
    assert_eq!((memory.accepted, memory.received), (0, 0));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn bytes_go_through_any_stack(program in prop::collection::vec(any::<u8>(), 0..400)) {
            super::run(&program);
        }
    }
}
