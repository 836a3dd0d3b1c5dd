//! The subcommands that run a loop, and so can be watched: by `trace`, by `doctor`.
#![forbid(unsafe_code)]

use clap::Subcommand;

use crate::check::{self, Check};
use crate::connect::{self, Connect};
use crate::exit::Outcome;
use crate::runner::Runner;
use crate::serve::{self, Serve};

#[derive(Subcommand, Debug)]
pub(crate) enum Run {
    Serve(Serve),
    Connect(Box<Connect>),
    Check(Check),
}

impl Run {
    pub(crate) fn run(self, runner: Runner) -> Outcome {
        match self {
            Run::Serve(args) => serve::run(args, runner),
            Run::Connect(args) => connect::run(*args, runner),
            Run::Check(args) => check::run(args, runner),
        }
    }
}
