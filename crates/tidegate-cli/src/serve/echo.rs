//! `serve echo`: sends back what comes, at the pace of the reader.
#![forbid(unsafe_code)]

use clap::Args;
use tidegate::prelude::*;

use super::listening::{Each, Listening};
use crate::exit::Outcome;
use crate::runner::Runner;

/// Send back what comes
///
/// Example: tidegate serve echo 127.0.0.1:7000
#[derive(Args, Debug)]
pub(super) struct Echo {
    /// Where to listen
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:7000")]
    at: String,
    #[command(flatten)]
    listening: Listening,
}

struct Connection {
    each: Each,
    pauses: u32,
}

impl Handler for Connection {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.each.block();
        // The peer reads more slowly than it writes: stop until it has caught up.
        if s.write(chunk) == Flow::Full {
            self.pauses += 1;
            s.pause();
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        s.resume();
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        self.each.closed(s, &close, &format!(", {} pauses", self.pauses));
    }
}

pub(super) fn run(args: Echo, runner: Runner) -> Outcome {
    let mut lp = runner.make_loop()?;
    let each = args.listening.each();
    let server = lp.listen(args.listening.options(&args.at), move |conn| {
        each.opened(&mut conn.accept(Connection { each, pauses: 0 }));
    });
    args.listening.run(lp, server, "sends back what comes")
}
