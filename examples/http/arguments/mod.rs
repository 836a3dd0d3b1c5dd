//! The command line of the examples beside this file, which is none itself: `--help`, and what is
//! wrong with the arguments.
#![allow(dead_code)] // not all of them need everything

use std::fmt::Display;
use std::process::exit;

/// The arguments. With `--help` the program prints its usage and ends.
pub(crate) fn arguments(usage: &str) -> Vec<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--help"] {
        println!("{usage}");
        exit(0);
    }
    arguments
}

/// The address to listen at, if there is one.
pub(crate) fn address(usage: &str) -> Option<String> {
    let mut arguments = arguments(usage);
    match arguments.len() {
        0 | 1 => arguments.pop(),
        _ => refuse(usage, "one address, please"),
    }
}

/// Says what is wrong, and ends the program.
pub(crate) fn refuse(usage: &str, why: impl Display) -> ! {
    eprintln!("{why}\n{usage}");
    exit(2)
}
