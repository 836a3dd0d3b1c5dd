//! The observers that come with tidegate, also for events that they do not know, the counters as
//! Prometheus text, and an observer that panics.

mod doctor;
mod observer_panics;
mod other_layers;
mod prometheus;
mod requests;
mod scene;
mod spans;
mod timeline;
mod traces;
mod tracing;

#[path = "../support/example.rs"]
mod example;
#[path = "../support/mod.rs"]
mod support;
