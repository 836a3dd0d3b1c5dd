//! Allocations per operation, and bytes per idle connection, by the counting allocator.
#![forbid(unsafe_code)]

use tidegate_bench::counted::{self, OPERATIONS};
use tidegate_bench::server::Peer;
use tidegate_bench::sys::allocator;

use super::Counted;
use crate::report::memory;

/// Connections that are open and idle: just below a power of two, so that what tables
/// reserve is used.
const IDLE: usize = 1000;

fn per_operation(name: &str) -> Result<f64, String> {
    // In a separate thread: allocations are counted by thread.
    let name = name.to_owned();
    let counted = std::thread::spawn(move || {
        allocator::count_this_thread();
        let mut operation = counted::warm(&name).map_err(|e| format!("{name}: {e}"))?;
        let before = allocator::calls();
        operation.run();
        let calls = allocator::calls() - before;
        Ok(calls as f64 / f64::from(OPERATIONS))
    });
    counted.join().map_err(|_| "the operation panicked".to_owned())?
}

pub(super) fn count() -> Counted {
    let mut counts = Vec::new();
    for name in counted::NAMES {
        counts.push((format!("allocations/{name}"), per_operation(name)?));
    }
    let held = memory::of(Peer::tidegate(None), &[IDLE]);
    counts.extend(held.iter().map(|(_, each)| ("bytes/idle_connection".to_owned(), *each)));
    Ok(counts)
}
