//! What goes to the `log` crate. The logger belongs to the process, so these tests have a
//! separate process, and each waits until it alone has the log (`support/logged.rs`).

mod hung_up;
mod one_line;
mod records;
mod thinned;

#[path = "../support/logged.rs"]
mod logged;
#[path = "../support/mod.rs"]
mod support;
