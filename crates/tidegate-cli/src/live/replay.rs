//! `tidegate replay`: the page, with the turns of a trace file.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::demo::serve;
use super::model::lines;
use super::serve::site::Source;
use crate::exit::{Failure, Outcome};
use crate::terminal::say;

const EXAMPLE: &str = "\
Examples:
  tidegate demo --record run.jsonl
  tidegate replay run.jsonl
  tidegate replay run.jsonl --save run.json  # for page.html?replay=run.json, without tidegate";

/// Shows a trace file, turn by turn, in a browser.
///
/// The file is one that `observe::JsonLines` wrote, in any program. It says what the loop did; what
/// waited in kernels it does not say, and the page shows it as unknown. It shows the first 20,000
/// turns.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Replay {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The port of the page; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Prints the address only, and opens no browser.
    #[arg(long)]
    no_open: bool,
    /// Writes the messages of the page to this file, and ends.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Runs it, until Ctrl-C.
pub(crate) fn replay(arguments: Replay) -> Outcome {
    let Replay { file, port, no_open, save } = arguments;
    let name = file.display();
    let opened = File::open(&file).map_err(|e| Failure::new(format_args!("{name}: {e}")))?;
    let read = lines::read(BufReader::new(opened));
    let read = read.map_err(|e| Failure::new(format_args!("{name}: {e}")))?;
    let rest = if read.is_cut { "; the file goes on" } else { "" };
    say(format_args!("{} turns of {name}{rest}", read.turns));
    let messages = Value::Array(read.messages).to_string();
    if let Some(path) = save {
        std::fs::write(&path, messages)?;
        return Ok(crate::exit::Exit::Done);
    }
    serve(port, no_open, Source::File(Bytes::from(messages)))
}
