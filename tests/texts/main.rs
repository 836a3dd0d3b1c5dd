//! Rules on the sources, and what the texts promise: the README, the manual and `tests/README.md`.
//! These tests read files, run cargo and run examples.

mod errors;
mod links;
mod manual;
mod readme;
mod sources;
mod tests_readme;

#[path = "../support/example.rs"]
mod example;
#[path = "../support/shape.rs"]
mod shape;
#[path = "../support/mod.rs"]
mod support;
