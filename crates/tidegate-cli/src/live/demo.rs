//! `tidegate demo`: a loop with clients, and the page that shows it.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tidegate::prelude::*;
use tidegate::signals::{SIGINT, SIGTERM};

use super::browser;
use super::loops::crowd::Crowd;
use super::loops::preset::Preset;
use super::loops::shared::Shared;
use super::loops::studied::Studied;
use super::serve::site::{self, Live, Source};
use crate::exit::{Exit, Failure, Outcome};
use crate::terminal::{Tone, say, toned};

const EXAMPLE: &str = "\
Examples:
  tidegate demo                     # opens a browser; press `Blocked loop`
  tidegate demo --no-open --port 8080 --preset slow
  tidegate demo --record run.jsonl  # and later: tidegate replay run.jsonl";

/// Shows a loop at work, live, in a browser.
///
/// A loop with four servers runs in this process, with clients that show one thing after the other:
/// a slow reader, a blocked loop, a burst of connections. The page shows its turns phase by phase,
/// where the bytes of each connection wait, and the accept queues. Another loop serves the page, on
/// the loopback address alone, so it goes on while the first one blocks.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Demo {
    /// The port of the page; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Prints the address only, and opens no browser.
    #[arg(long)]
    no_open: bool,
    /// What the clients do first: quiet, slow, blocked, burst, greedy, budget1 or resets.
    #[arg(long, value_name = "NAME", default_value = "quiet", value_parser = preset)]
    preset: Preset,
    /// Also writes every event of the loop to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn preset(name: &str) -> Result<Preset, String> {
    Preset::of(name).ok_or_else(|| {
        let names: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

/// Runs it, until Ctrl-C.
pub(crate) fn demo(arguments: Demo) -> Outcome {
    let Demo { port, no_open, preset, record } = arguments;
    let shared = Arc::new(Shared::default());
    let studied = Studied::start(&shared, record)?;
    let crowd = Crowd::start(&shared, &studied.servers, &studied.remote)?;
    crowd.play(preset);
    let live = Live { crowd, studied, shared, preset: Cell::new(preset) };
    serve(port, no_open, Source::Live(live))
}

/// Serves the page until Ctrl-C.
pub(super) fn serve(port: u16, no_open: bool, source: Source) -> Outcome {
    let mut lp = Loop::new()?;
    let stopped = std::rc::Rc::new(Cell::new(false));
    for number in [SIGINT, SIGTERM] {
        let stopped = stopped.clone();
        lp.signal(number, move |cx, _, _| {
            stopped.set(true);
            cx.stop();
        })?;
    }
    let url = site::open(&mut lp, port, source)?;
    say(format_args!("the page: {}", toned(Tone::Strong, &url)));
    let opened = !no_open && browser::open(&url);
    let hint = if opened { "" } else { "open it in a browser; " };
    say(format_args!("{hint}Ctrl-C stops it"));
    lp.run()?;
    if stopped.get() { Ok(Exit::Done) } else { Err(Failure::new("the studied loop has ended")) }
}
