//! What all servers share: the options of the listener, the line that says where it listens, the
//! end.
#![forbid(unsafe_code)]

use std::time::Duration;

use clap::Args;
use tidegate::net::{AtLimit, ListenError};
use tidegate::observe::Id;
use tidegate::prelude::*;

use crate::exit::{Exit, Failure, Outcome};
use crate::terminal::{Tone, say, toned};
use crate::values;

#[derive(Args, Debug)]
#[command(next_help_heading = "The listener")]
pub(super) struct Listening {
    /// Connections that wait in the kernel; default 511
    #[arg(long, value_name = "N")]
    backlog: Option<u32>,
    /// Connections that one turn of the loop accepts; default 64
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    accept_budget: Option<u32>,
    /// Open connections; others wait in the kernel
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// Close others than these at once, so that they do not wait
    #[arg(long, requires = "max_connections")]
    drop: bool,
    /// Close a connection after so long without a byte
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    idle_timeout: Option<Duration>,
    /// At the end, connections have so long to end
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "10s")]
    grace: Duration,
    /// End by itself after so long
    #[arg(long = "for", value_name = "TIME", value_parser = values::time)]
    during: Option<Duration>,
    /// Block the loop for so long in each callback, to see what that does
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    block: Option<Duration>,
    /// Do not print each connection
    #[arg(long, short)]
    quiet: bool,
}

impl Listening {
    pub(super) fn options(&self, at: &str) -> ListenOptions {
        let mut options = ListenOptions::new(at);
        if let Some(connections) = self.backlog {
            options = options.backlog(connections);
        }
        if let Some(connections) = self.accept_budget {
            options = options.accept_budget(connections);
        }
        if let Some(connections) = self.max_connections {
            let beyond = if self.drop { AtLimit::Drop } else { AtLimit::Hold };
            options = options.max_connections(connections, beyond);
        }
        if let Some(after) = self.idle_timeout {
            options = options.idle_timeout(after);
        }
        options
    }

    /// What each connection needs of it.
    pub(super) fn each(&self) -> Each {
        Each { quiet: self.quiet, block: self.block.unwrap_or_default() }
    }

    /// Says where it listens, and runs until the end.
    pub(super) fn run(
        &self,
        mut lp: Loop,
        server: Result<ServerKey, ListenError>,
        what: &str,
    ) -> Outcome {
        let server = match server {
            Ok(server) => server,
            Err(e @ ListenError::Address(_)) => return Err(Failure::bad_argument(e)),
            Err(e) => return Err(e.into()),
        };
        lp.server(server).shutdown_on_signals(self.grace)?;
        if let Some(during) = self.during {
            let grace = self.grace;
            let timer = lp.after(during, move |cx| {
                let _ = cx.server(server).shutdown(grace);
            });
            lp.set_ref(timer, false)?;
        }
        let at = lp.server(server).local_addr()?;
        say(format_args!("listening on {}; {what}; Ctrl-C stops", toned(Tone::Strong, at)));
        lp.run()?;
        let counted = lp.net_metrics();
        say(format_args!(
            "stopped after {} connections, {} failed; {} B in, {} B out",
            counted.closed, counted.failed, counted.bytes_read, counted.bytes_written
        ));
        Ok(Exit::Done)
    }
}

/// What is done for each connection, whatever is served on it.
#[derive(Clone, Copy)]
pub(super) struct Each {
    quiet: bool,
    block: Duration,
}

impl Each {
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(super) fn opened(&self, s: &mut SocketCx<'_>) {
        if !self.quiet {
            let from = s.peer_addr().map_or(String::new(), |peer| format!(" from {peer}"));
            say(format_args!("{}:{from}", Id::connection(s.key())));
        }
    }

    pub(super) fn closed(&self, s: &mut SocketCx<'_>, close: &Close, more: &str) {
        if !self.quiet {
            let id = Id::connection(s.key());
            let tone = if close.reason.is_error() { Tone::Bad } else { Tone::Good };
            let (read, written) = (close.bytes_read, close.bytes_written);
            let why = toned(tone, close);
            say(format_args!("{id}: {why}; {read} B in, {written} B out{more}"));
        }
    }

    /// Holds the loop up, if that was asked for.
    pub(super) fn block(&self) {
        if !self.block.is_zero() {
            std::thread::sleep(self.block);
        }
    }
}
