//! The rules of libuv and of Node's streams, by number. `tests/README.md` has the table.

mod metrics;
mod other_threads;
mod pipe;
mod poll_handles;
mod readable;
mod run;
mod socket_writes;
mod timers;
mod writable;

#[path = "../support/mod.rs"]
mod support;
#[cfg(unix)]
#[path = "../support/watched.rs"]
mod watched;

use std::time::Duration;

use tidegate::prelude::*;

const ZERO: Duration = Duration::ZERO;
const MS: Duration = Duration::from_millis(1);

/// A callback that logs this line.
fn add<K>(log: &support::Log, line: &str) -> impl FnMut(&mut Cx<'_>, K) + 'static {
    let (log, line) = (log.clone(), line.to_owned());
    move |_, _| log.add(line.clone())
}
