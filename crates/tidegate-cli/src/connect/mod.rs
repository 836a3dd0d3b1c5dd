//! `connect`: one connection as a client, as `nc` makes it, with each stage of it as `curl -v` shows
//! them.
//!
//! `bytes` moves bytes, which `input` brings; `http` asks for a path; `stages` shows the stages.
#![forbid(unsafe_code)]

mod bytes;
mod http;
mod input;
mod stages;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use tidegate::prelude::*;
use tidegate::signals::SIGINT;

use crate::exit::{Exit, Failure, Outcome};
use crate::runner::Runner;
use crate::tls::TlsArgs;
use crate::values;

const EXAMPLES: &str = r"Examples:
  tidegate connect 127.0.0.1:7000                          as nc: standard input there, answers here
  tidegate connect 127.0.0.1:6379 --text 'PING\r\n'
  tidegate connect example.com:443 --tls --http /
  tidegate connect 127.0.0.1:3000 --text 'GET /hello HTTP/1.1\r\n' --drip 500ms    a slow client

Stages are shown on standard error, answers on standard output. The exit code is 1 if the
connection fails.";

/// Connect, as nc does, and show each stage
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Connect {
    /// Where to connect
    #[arg(value_name = "HOST:PORT")]
    to: String,
    #[command(flatten)]
    tls: TlsArgs,
    /// Ask for this path by HTTP
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "/")]
    http: Option<String>,
    #[command(flatten)]
    sending: bytes::Sending,
    /// The connection must be there within this time
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "10s")]
    connect_timeout: Duration,
    /// End after so long without a byte
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    idle_timeout: Option<Duration>,
    /// Let the kernel collect small writes (Nagle's algorithm)
    #[arg(long)]
    nagle: bool,
    /// Do not show the stages
    #[arg(long, short)]
    quiet: bool,
}

/// How it ended, for the exit code.
#[derive(Default)]
struct End {
    interrupted: Cell<bool>,
    failure: Cell<Option<Failure>>,
}

impl End {
    fn fail(&self, why: impl std::fmt::Display) {
        self.failure.set(Some(Failure::new(why)));
    }
}

pub(crate) fn run(args: Connect, runner: Runner) -> Outcome {
    let mut options = ConnectOptions::new(args.to.as_str())
        .connect_timeout(args.connect_timeout)
        .no_delay(!args.nagle);
    options.check().map_err(Failure::bad_argument)?;
    if let Some(after) = args.idle_timeout {
        options = options.idle_timeout(after);
    }
    let protocols: &[&str] = if args.http.is_some() { &["http/1.1"] } else { &[] };
    let tls = args.tls.client(protocols)?;
    let mut lp = runner.make_loop_with((!args.quiet).then_some(stages::Stages))?;
    let end = Rc::new(End::default());
    let interrupted = end.clone();
    let signal = lp.signal_once(SIGINT, move |cx, _, _| {
        interrupted.interrupted.set(true);
        cx.close_all();
    })?;
    lp.set_ref(signal, false)?;
    match args.http {
        Some(path) => {
            let limits = http::Limits { connect: args.connect_timeout, idle: args.idle_timeout };
            http::ask(&mut lp, &args.to, tls, &path, &limits, !args.quiet, &end)?;
        }
        None => bytes::start(&mut lp, options, tls, args.sending, !args.quiet, &end),
    }
    lp.run()?;
    if end.interrupted.get() {
        return Ok(Exit::Interrupted);
    }
    end.failure.take().map_or(Ok(Exit::Done), Err)
}
