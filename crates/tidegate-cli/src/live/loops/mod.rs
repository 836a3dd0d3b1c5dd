//! The threads of the demonstration: the loop that is studied, and its clients.
//!
//! Read `shared` first (what the threads share), then `recorder` (the observer), `studied` (the
//! loop) with its `servers`, `looks` (what it samples), `preset` (the scenes, as data) and `crowd`
//! (the clients of each scene). The page's own loop is in `../serve/`.
#![forbid(unsafe_code)]

#[cfg(test)]
mod cost_tests;
pub(super) mod crowd;
pub(super) mod looks;
pub(super) mod preset;
pub(super) mod recorder;
pub(super) mod servers;
pub(super) mod shared;
pub(super) mod studied;
