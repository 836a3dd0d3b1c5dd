//! The table of subcommands, and which function runs each. The arguments of a subcommand stand in
//! its own file.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};

use crate::bench::{self, Bench};
use crate::doctor::{self, Doctor};
use crate::exit::{EXIT_CODES, Outcome};
use crate::live::demo::{self, Demo};
use crate::live::replay::{self, Replay};
use crate::manual;
use crate::run::Run;
use crate::runner::Runner;
use crate::trace::{self, Trace};

const ABOUT: &str = "\
Serve, connect, check, watch and measure connections on an event loop.

Colours are used on a terminal alone, and never with NO_COLOR. RUST_LOG=tidegate=debug logs each
step of each connection.";

/// What the command line says.
#[derive(Parser, Debug)]
#[command(name = "tidegate", version, about = "Watch an event loop, and talk to sockets by it", long_about = ABOUT)]
#[command(after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Each subcommand.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Demo(Demo),
    Replay(Replay),
    #[command(flatten)]
    Run(Run),
    Trace(Trace),
    Doctor(Doctor),
    Bench(Bench),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// Runs one.
pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Demo(arguments) => demo::demo(arguments),
        Command::Replay(arguments) => replay::replay(arguments),
        Command::Run(command) => command.run(Runner::default()),
        Command::Trace(args) => trace::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Completions(shell) => manual::completions(shell, definition()),
        Command::Man(page) => manual::man(page, definition()),
    }
}

fn definition() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
