//! [`Turn`]: one turn of a loop as the page shows it. How it is filled is in `fold.rs`.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;

use tidegate::event::Readiness;

/// The places of a turn, by the names of their phases. `pending` comes twice.
pub(crate) const PLACES: [&str; 9] =
    ["pending", "idle", "prepare", "poll", "ready", "pending", "check", "closing", "timers"];

pub(crate) const READY: usize = 4;

/// A handle: of a loop that runs, or as a file names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    Live { letter: char, loop_id: u16, index: u32, generation: u32 },
    Named(String),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As `observe::Id` writes it.
            Who::Live { letter, loop_id, index, generation } => {
                write!(f, "{letter}{loop_id}.{index}.{generation}")
            }
            Who::Named(name) => f.write_str(name),
        }
    }
}

/// Readiness bits; `Display` writes a letter for each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Bits(pub(super) u8);

const BITS: [(char, &str, Readiness); 6] = [
    ('R', "readable", Readiness::READABLE),
    ('W', "writable", Readiness::WRITABLE),
    ('r', "read_closed", Readiness::READ_CLOSED),
    ('w', "write_closed", Readiness::WRITE_CLOSED),
    ('E', "error", Readiness::ERROR),
    ('P', "priority", Readiness::PRIORITY),
];

impl Bits {
    /// From what `Debug` of [`Readiness`] writes.
    pub(crate) fn parse(text: &str) -> Bits {
        let mut bits = 0;
        for (n, (_, name, _)) in BITS.iter().enumerate() {
            if text.split('|').any(|word| word == *name) {
                bits |= 1 << n;
            }
        }
        Bits(bits)
    }
}

impl From<Readiness> for Bits {
    fn from(known: Readiness) -> Bits {
        let mut bits = 0;
        for (n, (_, _, bit)) in BITS.iter().enumerate() {
            bits |= u8::from(known.has(*bit)) << n;
        }
        Bits(bits)
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (letter, _, _)) in BITS.iter().enumerate() {
            if self.0 & (1 << n) != 0 {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// A handle was called. Times are nanoseconds, here and below.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Call {
    pub(crate) who: Who,
    pub(crate) kind: Cow<'static, str>,
    pub(crate) bits: Bits,
    pub(crate) took: u64,
    /// Its place in the turn.
    pub(crate) place: usize,
    /// It was queued when the turn began, by a budget or by a call since the last pass.
    pub(crate) carried: bool,
}

/// What one server accepted in the turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    pub(crate) server: Who,
    pub(crate) accepted: u64,
    /// Why it stopped, as `budget`.
    pub(crate) stopped: Cow<'static, str>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Turn {
    pub(crate) number: u64,
    /// Since the loop was made.
    pub(crate) began: u64,
    pub(crate) took: u64,
    pub(crate) waited: u64,
    pub(crate) events: u64,
    /// Handles that were queued when it began, and when the kernel had answered.
    pub(crate) before: u64,
    pub(crate) queued: u64,
    /// By place; that of the poll includes the wait.
    pub(crate) phases: [u64; PLACES.len()],
    pub(crate) calls: Vec<Call>,
    /// Calls that are not in the list.
    pub(crate) left_out: u64,
    pub(crate) batches: Vec<Batch>,
    /// How many places are done; all of them in a turn that is over.
    pub(crate) places: usize,
}

impl Turn {
    /// Empty again; its memory stays.
    pub(crate) fn clear(&mut self) {
        let (mut calls, mut batches) =
            (std::mem::take(&mut self.calls), std::mem::take(&mut self.batches));
        calls.clear();
        batches.clear();
        *self = Turn { calls, batches, ..Turn::default() };
    }
}
