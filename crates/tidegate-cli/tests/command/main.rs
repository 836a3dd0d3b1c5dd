//! The command `tidegate`, run as users run it: its arguments, what it prints, how it ends.

mod arguments;
mod checking;
mod connecting;
mod doctoring;
mod measuring;
mod running;
mod serving;
mod tracing;
mod try_it;

#[path = "../../../../tests/support/shape.rs"]
mod shape;
