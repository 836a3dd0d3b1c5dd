//! Where lines of text go, and what became of them. An observer cannot return an error, so
//! it is kept here, and logged once.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use tidegate_loop::OneLine;

/// Lines leave together from so many bytes on.
const TOGETHER: usize = 64 * 1024;
/// What a file may take, unless it was said otherwise.
pub(super) const LIMIT: u64 = 1 << 30;

/// The state of an observer's file: its error, its size. Keep it beside the loop, which owns the
/// observer; it is final when the observer is dropped.
///
/// ```
/// use tidegate::Loop;
/// use tidegate::observe::JsonLines;
/// let json = JsonLines::new(Vec::new());
/// let written = json.written();
/// let mut lp = Loop::new()?;
/// lp.observe(json);
/// drop(lp);
/// written.check()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Written(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    error: Option<io::Error>,
    bytes: u64,
    lost: u64,
}

impl Written {
    /// The first error; nothing was written after it.
    pub fn check(&self) -> io::Result<()> {
        match &self.0.borrow().error {
            Some(e) => Err(io::Error::new(e.kind(), e.to_string())),
            None => Ok(()),
        }
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.0.borrow().bytes
    }

    /// Events that were left out: beyond the limit of the file's size, after an error, or in the
    /// piece whose writing failed.
    pub fn lost(&self) -> u64 {
        self.0.borrow().lost
    }

    fn fail(&self, e: io::Error, lost: u64) {
        let text = OneLine(&e);
        log::error!(target: "tidegate::observe", "writing events failed, the rest is lost: {text}");
        let mut state = self.0.borrow_mut();
        state.error = Some(e);
        state.lost += lost;
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.borrow();
        f.debug_struct("Written").field("bytes", &state.bytes).field("error", &state.error).finish()
    }
}

/// A writer of whole lines.
pub(super) struct Lines {
    /// `None` after an error.
    to: Option<Box<dyn Write>>,
    buffer: Vec<u8>,
    /// How many lines that is.
    waiting: u64,
    taken: u64,
    pub(super) limit: u64,
    pub(super) written: Written,
}

impl Lines {
    pub(super) fn new(to: impl Write + 'static) -> Lines {
        Lines {
            to: Some(Box::new(to)),
            buffer: Vec::new(),
            waiting: 0,
            taken: 0,
            limit: LIMIT,
            written: Written::default(),
        }
    }

    /// Takes what `line` writes; whether it was taken.
    pub(super) fn line(&mut self, line: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> bool {
        if self.to.is_none() || self.taken >= self.limit {
            self.written.0.borrow_mut().lost += 1;
            return false;
        }
        let before = self.buffer.len();
        if let Err(e) = line(&mut self.buffer) {
            self.buffer.truncate(before);
            self.to = None;
            self.written.fail(e, self.waiting + 1);
            return false;
        }
        self.waiting += 1;
        self.taken += (self.buffer.len() - before) as u64;
        if self.taken >= self.limit {
            let limit = self.limit;
            log::warn!(target: "tidegate::observe", "the file has reached its limit of {limit} bytes: the rest is lost");
        }
        if self.buffer.len() >= TOGETHER {
            self.write_out();
        }
        true
    }

    /// A turn is over: what it told leaves now. The loop may wait for long, or the program
    /// end; and between two turns a slow disk is in the time of none of them.
    pub(super) fn turn_is_over(&mut self) {
        if !self.buffer.is_empty() {
            self.write_out();
        }
    }

    /// As a line, but whatever the limit: how a file ends.
    pub(super) fn last(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
        self.write_out();
        if let Some(Err(e)) = self.to.as_mut().map(|to| to.flush()) {
            self.to = None;
            self.written.fail(e, 0);
        }
    }

    fn write_out(&mut self) {
        let Some(to) = &mut self.to else { return };
        let waiting = std::mem::take(&mut self.waiting);
        match to.write_all(&self.buffer) {
            Ok(()) => self.written.0.borrow_mut().bytes += self.buffer.len() as u64,
            Err(e) => {
                self.to = None;
                self.written.fail(e, waiting);
            }
        }
        self.buffer.clear();
    }
}
