//! `serve`: servers to try things with. Each ends in good order: at Ctrl-C, or after `--for`.
//!
//! `listening` has what they share; each server stands in its own file.
#![forbid(unsafe_code)]

mod discard;
mod echo;
mod http;
mod listening;
mod proxy;

use clap::{Args, Subcommand};

use crate::exit::Outcome;
use crate::runner::Runner;

const EXAMPLES: &str = "\
Examples:
  tidegate serve echo 127.0.0.1:7000
  tidegate serve discard --read-rate 1K       a reader that is too slow
  tidegate serve http 127.0.0.1:3000
  tidegate serve proxy 127.0.0.1:80 127.0.0.1:8080

A port of 0 takes a free one; the first line says which. At Ctrl-C connections have the time of
--grace to end; a second Ctrl-C closes all.";

/// Serve echo, discard, HTTP, or a proxy
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Serve {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Echo(echo::Echo),
    Discard(discard::Discard),
    Http(http::Http),
    Proxy(proxy::Proxy),
}

pub(crate) fn run(args: Serve, runner: Runner) -> Outcome {
    match args.what {
        What::Echo(args) => echo::run(args, runner),
        What::Discard(args) => discard::run(args, runner),
        What::Http(args) => http::run(args, runner),
        What::Proxy(args) => proxy::run(args, runner),
    }
}
