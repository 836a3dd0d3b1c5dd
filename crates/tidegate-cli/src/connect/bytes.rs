//! Bytes there and back: how they are sent, how fast answers are read, how it ends.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use tidegate::prelude::*;
use tidegate::tls::TlsClient;

use super::End;
use super::input::{Input, read_stdin};
use super::stages;
use crate::terminal::pass_on;
use crate::tls;
use crate::values::{self, Bytes};

#[derive(Args, Debug)]
#[command(next_help_heading = "What is sent and read")]
pub(super) struct Sending {
    /// Send this in place of standard input; \r \n \t \0 \\ \x41 are escapes
    #[arg(long, value_name = "TEXT", value_parser = values::escaped)]
    #[arg(conflicts_with_all = ["send", "http"])]
    text: Option<Bytes>,
    /// Send so many bytes in place of standard input
    #[arg(long, value_name = "SIZE", value_parser = values::some_bytes, conflicts_with = "http")]
    send: Option<u64>,
    /// Send the text byte by byte, with this time between
    #[arg(long, value_name = "TIME", value_parser = values::time, requires = "text")]
    drip: Option<Duration>,
    /// Read at most so many bytes a second
    #[arg(long, value_name = "SIZE", value_parser = values::some_bytes, conflicts_with = "http")]
    read_rate: Option<u64>,
    /// Keep our side open after all is sent
    #[arg(long, conflicts_with = "http")]
    hold: bool,
    /// Reset the connection after all is sent
    #[arg(long, conflicts_with_all = ["hold", "http"])]
    reset: bool,
    /// When the peer ends its side, do not end ours with it
    #[arg(long, conflicts_with = "http")]
    half_open: bool,
}

const DRIP: u64 = 0;
const READ: u64 = 1;
const RESET: u64 = 2;

struct Connection {
    args: Sending,
    input: Input,
    /// Of a text that goes out byte by byte.
    sent: usize,
    shows: bool,
    end: Rc<End>,
}

impl Connection {
    /// Sends what the connection takes.
    fn go_on(&mut self, s: &mut SocketCx<'_>) {
        match &mut self.input {
            Input::Stdin(Some(credit)) => {
                let _ = credit.send(());
            }
            Input::Stdin(credit @ None) => {
                let key = s.key();
                *credit = Some(read_stdin(s.remote(), key, self.args.hold));
            }
            Input::Text(text) => {
                let end = if self.args.drip.is_some() { self.sent + 1 } else { text.len() };
                let part = text.get(self.sent..end).unwrap_or_default();
                self.sent += part.len();
                let flow = s.write(part);
                match (flow, self.args.drip) {
                    (Flow::Closed, _) => {}
                    _ if self.sent >= text.len() => self.all_sent(s),
                    (_, Some(pause)) => s.set_timer(DRIP, pause),
                    // The drain goes on; but a text goes out at once.
                    (_, None) => {}
                }
            }
            Input::Bytes(left) => {
                let block = [b'x'; 64 * 1024];
                while *left > 0 {
                    let part = block.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    let flow = s.write(&block[..part]);
                    if flow == Flow::Closed {
                        return;
                    }
                    *left -= part as u64;
                    if flow == Flow::Full && *left > 0 {
                        return;
                    }
                }
                self.all_sent(s);
            }
        }
    }

    fn all_sent(&mut self, s: &mut SocketCx<'_>) {
        if self.args.reset {
            // The bytes have a moment to be there first.
            s.set_timer(RESET, Duration::from_millis(20));
        } else if !self.args.hold {
            s.end();
        }
    }

    fn is_all_sent(&self) -> bool {
        match &self.input {
            Input::Text(text) => self.sent >= text.len(),
            Input::Bytes(left) => *left == 0,
            Input::Stdin(_) => false,
        }
    }
}

impl Handler for Connection {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        if self.shows {
            tls::agreed(s).into_iter().for_each(stages::more);
        }
        self.go_on(s);
    }

    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        if !pass_on(chunk) {
            return s.destroy();
        }
        if let Some(rate) = self.args.read_rate {
            s.pause();
            s.set_timer(READ, values::at_rate(chunk.len(), rate));
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        if !self.is_all_sent() {
            self.go_on(s);
        }
    }

    fn on_timer(&mut self, s: &mut SocketCx<'_>, token: u64) {
        match token {
            DRIP => self.go_on(s),
            RESET => s.reset(),
            _ => s.resume(),
        }
    }

    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        if !self.args.half_open {
            s.end();
        }
    }

    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        if let (true, Some(alerts)) = (self.shows, tls::alerts(&close)) {
            stages::more(alerts);
        }
        if close.reason.is_error() {
            self.end.fail(&close);
        }
    }
}

pub(super) fn start(
    lp: &mut Loop,
    options: ConnectOptions,
    tls: Option<TlsClient>,
    args: Sending,
    shows: bool,
    end: &Rc<End>,
) {
    let input = match (&args.text, args.send) {
        (Some(text), _) => Input::Text(text.0.clone()),
        (None, Some(bytes)) => Input::Bytes(bytes),
        (None, None) => Input::Stdin(None),
    };
    // Answers still come after our end; `on_end` decides what the peer's does.
    let options = options.allow_half_open(true);
    let options = match tls {
        Some(tls) => options.filter(tls),
        None => options,
    };
    lp.connect(options, Connection { args, input, sent: 0, shows, end: end.clone() });
}
