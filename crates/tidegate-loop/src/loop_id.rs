//! Which loop a key belongs to: 12 bits, leased for a loop's life.
//!
//! An id that comes back is given away as late as possible, and its next loop counts
//! generations on from where the last one stopped: the keys of a dropped loop find
//! nothing in a later one, either.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Ids go from 1 to this.
const MOST: u16 = 4_095;

static IDS: Mutex<Ids> = Mutex::new(Ids { given: 0, back: VecDeque::new() });

struct Ids {
    /// How many were given away at least once.
    given: u16,
    back: VecDeque<(u16, u32)>,
}

/// An id, and the first generation that its keys may have.
pub(crate) fn lease() -> io::Result<(u16, u32)> {
    let mut ids = IDS.lock().unwrap_or_else(PoisonError::into_inner);
    if ids.given < MOST {
        ids.given += 1;
        return Ok((ids.given, 1));
    }
    ids.back.pop_front().ok_or_else(|| {
        let text = format!("{MOST} loops are open in this process, the limit: drop some first");
        io::Error::new(io::ErrorKind::QuotaExceeded, text)
    })
}

/// Gives an id back. One whose generations are used up is retired.
pub(crate) fn give_back(id: u16, next_generation: Option<u32>) {
    if let Some(generation) = next_generation {
        IDS.lock().unwrap_or_else(PoisonError::into_inner).back.push_back((id, generation));
    }
}
