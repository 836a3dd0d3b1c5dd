//! The command `tidegate`: reads the arguments, runs one subcommand, ends with its exit code.
//!
//! | file | what it holds |
//! |---|---|
//! | `args.rs` | the table of subcommands |
//! | `terminal.rs`, `exit.rs` | what is printed, in which colour; how the program ends |
//! | `live/` | the live page: `demo` and `replay` |
//! | `run.rs`, `runner.rs` | the subcommands that run a loop, and how it is made |
//! | `serve/`, `connect/`, `check.rs` | these subcommands |
//! | `trace.rs`, `doctor.rs` | what watches them |
//! | `bench/` | how fast a server is |
//! | `sys/` | what differs between systems |
//! | `values.rs`, `tls.rs` | times and sizes as arguments; TLS as a client |
//! | `manual.rs` | completions for shells, and the man page |
#![forbid(unsafe_code)]

mod args;
mod bench;
mod check;
mod connect;
mod doctor;
mod exit;
mod live;
mod manual;
mod run;
mod runner;
mod serve;
mod sys;
mod terminal;
mod tls;
mod trace;
mod values;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    env_logger::init();
    // Wrong arguments and `--help` end here, with the codes 2 and 0.
    let result = args::run(args::Cli::parse().command);
    let result = match (result, terminal::output_error()) {
        (Ok(_), Some(e)) => Err(exit::Failure::new(format_args!("standard output: {e}"))),
        (result, _) => result,
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            terminal::complain(&failure);
            failure.exit().into()
        }
    }
}
