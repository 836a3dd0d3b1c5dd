//! `serve proxy`: each connection is piped to one upstream, in both directions.
#![forbid(unsafe_code)]

use std::time::Duration;

use clap::Args;
use tidegate::prelude::*;

use super::listening::{Each, Listening};
use crate::exit::{Failure, Outcome};
use crate::runner::Runner;
use crate::terminal::say;
use crate::values;

/// Pass connections on to another server
///
/// Example: tidegate serve proxy 127.0.0.1:80 127.0.0.1:8080
#[derive(Args, Debug)]
pub(super) struct Proxy {
    /// Where to pass connections on to
    #[arg(value_name = "UPSTREAM")]
    upstream: String,
    /// Where to listen
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:7000")]
    at: String,
    /// How long the upstream may take to connect
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "10s")]
    connect_timeout: Duration,
    #[command(flatten)]
    listening: Listening,
}

/// One side of it. The bytes go through pipes, so there is only the end.
struct Side {
    each: Each,
}

impl Handler for Side {
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        self.each.closed(s, &close, "");
    }
}

pub(super) fn run(args: Proxy, runner: Runner) -> Outcome {
    // Before the first client comes: a text that is no address stays so.
    let upstream = ConnectOptions::new(args.upstream.as_str());
    upstream.check().map_err(Failure::bad_argument)?;
    let mut lp = runner.make_loop()?;
    let (each, to, timeout) = (args.listening.each(), args.upstream.clone(), args.connect_timeout);
    let server = lp.listen(args.listening.options(&args.at), move |conn| {
        let mut client = conn.accept(Side { each });
        each.opened(&mut client);
        let to = ConnectOptions::new(to.as_str()).connect_timeout(timeout);
        let (a, b) = (client.key(), client.connect(to, Side { each }));
        for (from, to) in [(a, b), (b, a)] {
            let refused = client.pipe(from, to, move |_, result| {
                if let (Err(e), false) = (result, each.is_quiet()) {
                    say(format_args!("  a direction ended: {e}"));
                }
            });
            if refused.is_err() {
                return client.destroy();
            }
        }
    });
    args.listening.run(lp, server, &format!("passes on to {}", args.upstream))
}
