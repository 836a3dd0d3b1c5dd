//! The command `tidegate`, run as users run it: its arguments, what it prints, how it ends.

mod arguments;
mod checking;
mod connecting;
mod doctoring;
mod running;
mod serving;
mod tracing;
