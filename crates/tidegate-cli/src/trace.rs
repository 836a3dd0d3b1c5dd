//! `trace`: runs another subcommand, and writes what its loop does to a file.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use tidegate::observe::{JsonLines, Observer, Perfetto, Written};

use crate::exit::{Failure, Outcome};
use crate::run::Run;
use crate::runner::Runner;
use crate::terminal::note;
use crate::values;

const EXAMPLES: &str = "\
Examples:
  tidegate trace connect 127.0.0.1:7000 --text tide
  tidegate trace -o echo.json serve echo --for 10s
  tidegate trace -o echo.jsonl serve echo         JSON lines, for `tidegate doctor`

Open a .json file in https://ui.perfetto.dev: turns and phases as nested slices, each connection as
a track. The exit code is that of the subcommand.";

/// Run a subcommand, and write what its loop does to a file
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Trace {
    /// The file, which is replaced; .jsonl for JSON lines
    #[arg(long, short, value_name = "FILE", default_value = "tidegate-trace.json")]
    out: PathBuf,
    /// The most bytes of the file; what comes later is lost
    #[arg(long, value_name = "SIZE", value_parser = values::some_bytes, default_value = "1G")]
    limit: u64,
    #[command(subcommand)]
    command: Run,
}

pub(crate) fn run(args: Trace) -> Outcome {
    let file = &args.out;
    let failed = |e: io::Error| Failure::new(format_args!("{}: {e}", file.display()));
    let outcome = if is_json_lines(file) {
        let lines = JsonLines::create(file).map_err(failed)?.limit(args.limit);
        let written = lines.written();
        traced(args.command, lines, &written)
    } else {
        let trace = Perfetto::create(file).map_err(failed)?.limit(args.limit);
        let written = trace.written();
        traced(args.command, trace, &written)
    };
    let (written, outcome) = outcome;
    written.map_err(failed)?;
    let more = if is_json_lines(file) { "" } else { "; open it in https://ui.perfetto.dev" };
    note(format_args!("the trace is in {}{more}", file.display()));
    outcome
}

fn is_json_lines(file: &Path) -> bool {
    file.extension().is_some_and(|e| e == "jsonl")
}

/// The file is complete when the loop is gone, with its observer.
fn traced(command: Run, observer: impl Observer, written: &Written) -> (io::Result<()>, Outcome) {
    let outcome = command.run(Runner::watched(observer, |_| Ok(())));
    if written.lost() > 0 {
        note(format_args!("{} events are not in the file: it is full", written.lost()));
    }
    (written.check(), outcome)
}
