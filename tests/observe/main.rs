//! The observers that come with tidegate, the counters as Prometheus text, and an observer that
//! panics.

mod observer_panics;
mod prometheus;
mod scene;
mod timeline;
mod traces;

#[path = "../support/example.rs"]
mod example;
#[path = "../support/mod.rs"]
mod support;
