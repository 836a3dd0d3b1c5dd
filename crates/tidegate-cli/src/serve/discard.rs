//! `serve discard`: reads and drops; also slowly, or never, or with a reset.
#![forbid(unsafe_code)]

use clap::Args;
use tidegate::prelude::*;

use super::listening::{Each, Listening};
use crate::exit::Outcome;
use crate::runner::Runner;
use crate::values;

/// Read and drop what comes
///
/// Example: tidegate serve discard --read-rate 1K
#[derive(Args, Debug)]
pub(super) struct Discard {
    /// Where to listen
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:7000")]
    at: String,
    /// Read so many bytes a second; 0 reads nothing
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    read_rate: Option<u64>,
    /// Reset each connection at its first bytes
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    listening: Listening,
}

struct Connection {
    each: Each,
    rate: Option<u64>,
    reset: bool,
}

impl Handler for Connection {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.each.block();
        if self.reset {
            return s.reset();
        }
        if let Some(rate) = self.rate {
            s.pause();
            s.set_timer(0, values::at_rate(chunk.len(), rate));
        }
    }

    fn on_timer(&mut self, s: &mut SocketCx<'_>, _: u64) {
        s.resume();
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        self.each.closed(s, &close, "");
    }
}

pub(super) fn run(args: Discard, runner: Runner) -> Outcome {
    let mut lp = runner.make_loop()?;
    let (each, rate, reset) = (args.listening.each(), args.read_rate, args.reset);
    let options = args.listening.options(&args.at).pause_on_connect(rate == Some(0));
    let server = lp.listen(options, move |conn| {
        each.opened(&mut conn.accept(Connection { each, rate, reset }));
    });
    let what = match (args.read_rate, args.reset) {
        (_, true) => "resets each connection at its first bytes".to_owned(),
        (None, false) => "drops what comes".to_owned(),
        (Some(0), false) => "reads nothing".to_owned(),
        (Some(rate), false) => format!("reads {rate} B a second"),
    };
    args.listening.run(lp, server, &what)
}
