//! Signals, which belong to the process: watchers of signals, and a process that is asked to end.

mod termination;
mod watchers;

#[path = "../support/mod.rs"]
mod support;
#[cfg(unix)]
#[path = "../support/watched.rs"]
mod watched;
