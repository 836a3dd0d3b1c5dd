//! `check`: is a port reachable, does the right protocol answer there, and if not: at which step
//! does it fail?
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use tidegate::net::source_for;
use tidegate::observe::OneLine;
use tidegate::prelude::*;

use crate::exit::{Exit, Failure, Outcome};
use crate::runner::Runner;
use crate::terminal::{Tone, say, toned};
use crate::tls::{self, TlsArgs};
use crate::values::{self, Bytes};

const EXAMPLES: &str = r"Examples:
  tidegate check 127.0.0.1:7000
  tidegate check 127.0.0.1:6379 --text 'PING\r\n' --expect PONG
  tidegate check example.com:443 --tls

A connection that is made does not say which program listens: --text asks it. The exit code is 1 if
the port is not reachable, or the answer is not the expected one.";

/// Check whether a port is reachable, and who answers there
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    /// What to check
    #[arg(value_name = "HOST:PORT")]
    to: String,
    #[command(flatten)]
    tls: TlsArgs,
    /// Send this, and wait for an answer; \r \n \t \0 \\ \x41 are escapes
    #[arg(long, value_name = "TEXT", value_parser = values::escaped)]
    text: Option<Bytes>,
    /// The answer must have this in it
    #[arg(long, value_name = "TEXT", value_parser = values::escaped, requires = "text")]
    expect: Option<Bytes>,
    /// The connection, and then the answer, must be there within this time
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "3s")]
    timeout: Duration,
}

/// Bytes of an answer that are looked at.
const MOST: usize = 64 * 1024;

#[derive(Default)]
struct Found {
    connected: bool,
    agreed: Vec<String>,
    /// The addresses that were tried.
    tried: Vec<SocketAddr>,
    answer: Vec<u8>,
    /// The reason, and the alerts.
    failed: Option<(String, Option<String>)>,
}

struct Client {
    text: Option<Bytes>,
    expect: Vec<u8>,
    found: Rc<RefCell<Found>>,
}

impl Handler for Client {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        let mut found = self.found.borrow_mut();
        found.connected = true;
        found.tried.extend(s.peer_addr());
        found.agreed = tls::agreed(s);
        match &self.text {
            Some(text) => {
                let _ = s.write(&text.0[..]);
            }
            None => s.end(),
        }
    }

    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        if self.text.is_none() {
            return; // it was only asked whether it is there
        }
        let mut found = self.found.borrow_mut();
        let room = MOST - found.answer.len();
        found.answer.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if found.answer.len() == MOST || has(&found.answer, &self.expect) {
            s.destroy();
        }
    }

    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        let mut found = self.found.borrow_mut();
        if let (false, Some(e)) = (found.connected, close.reason.error()) {
            let found = &mut *found;
            found.tried.extend(e.attempts().iter().map(|a| a.remote));
            if found.tried.is_empty() {
                found.tried.extend(e.remote());
            }
        }
        found.failed = Some((close.to_string(), tls::alerts(&close)));
    }
}

/// Whether the text is in it. Everything has an empty one in it, if it is not empty itself.
fn has(bytes: &[u8], text: &[u8]) -> bool {
    !bytes.is_empty() && (text.is_empty() || bytes.windows(text.len()).any(|w| w == text))
}

pub(crate) fn run(args: Check, runner: Runner) -> Outcome {
    let options = ConnectOptions::new(args.to.as_str())
        .connect_timeout(args.timeout)
        .idle_timeout(args.timeout)
        .linger_timeout(args.timeout);
    options.check().map_err(Failure::bad_argument)?;
    let options = match args.tls.client(&["h2", "http/1.1"])? {
        Some(tls) => options.filter(tls),
        None => options,
    };
    let mut lp = runner.make_loop()?;
    let found = Rc::new(RefCell::new(Found::default()));
    let expect = args.expect.clone().map_or(Vec::new(), |text| text.0);
    let client = Client { text: args.text.clone(), expect, found: found.clone() };
    lp.connect(options, client);
    lp.run()?;
    let found = found.borrow();
    Ok(report(&args, &found))
}

fn report(args: &Check, found: &Found) -> Exit {
    let to = OneLine(&args.to);
    let (why, alerts) = found.failed.clone().unwrap_or_default();
    let expected = args.expect.as_ref().map_or(&[][..], |text| &text.0);
    let text =
        OneLine(String::from_utf8_lossy(&found.answer).trim_end().escape_debug()).to_string();
    let (good, line) = match (found.connected, &args.text) {
        (false, _) => (false, format!("not reachable: {}", OneLine(why))),
        (true, None) => (true, "reachable".to_owned()),
        (true, Some(_)) if found.answer.is_empty() => {
            (false, format!("reachable, but no answer: {}", OneLine(why)))
        }
        (true, Some(_)) if has(&found.answer, expected) => {
            (true, format!("reachable, and answers \"{text}\""))
        }
        (true, Some(_)) => (false, format!("reachable, but answers \"{text}\"")),
    };
    say(format_args!("{to}: {}", toned(if good { Tone::Good } else { Tone::Bad }, line)));
    for line in found.agreed.iter().chain(&alerts) {
        say(format_args!("    {}", OneLine(line)));
    }
    for to in &found.tried {
        match source_for(*to) {
            Ok(from) => say(format_args!("    to {to} this host sends from {from}")),
            Err(e) => say(format_args!("    to {to} this host has no way: {e}")),
        }
    }
    if good { Exit::Done } else { Exit::Failed }
}
