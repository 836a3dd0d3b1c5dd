//! `serve http`: a small server of HTTP/1.1 with something to ask for.
#![forbid(unsafe_code)]

use std::time::Duration;

use clap::Args;
use tidegate::http::{Exchange, Head, Http as _, HttpError, HttpHandler, HttpOptions, Refusal};
use tidegate::http::{OnExchange, Response};
use tidegate::prelude::*;

use super::listening::{Each, Listening};
use crate::exit::Outcome;
use crate::runner::Runner;
use crate::terminal::{Tone, say, toned};
use crate::values;

/// Serve HTTP: /hello, /echo (POST), /bytes/N, /slow
///
/// /hello answers a line, /echo the body of a POST, /bytes/1000 so many bytes, /slow a line after
/// one second. Example: tidegate serve http 127.0.0.1:3000
#[derive(Args, Debug)]
pub(super) struct Http {
    /// Where to listen
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:3000")]
    at: String,
    /// A request's head must be here within this time
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    headers_timeout: Option<Duration>,
    /// A request must be here within this time
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    request_timeout: Option<Duration>,
    /// How long a connection may wait for its next request
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    keep_alive_timeout: Option<Duration>,
    #[command(flatten)]
    listening: Listening,
}

/// What `/bytes/N` gives at most.
const MOST: u64 = 1 << 40;
const PLAIN: &[(&str, &str)] = &[("content-type", "text/plain")];

struct Server {
    each: Each,
}

impl HttpHandler for Server {
    fn on_request(&mut self, head: &Head<'_>, mut x: Exchange<'_>) {
        self.each.block();
        let (method, path) = (head.method.to_owned(), head.path().to_owned());
        if !self.each.is_quiet() {
            let from = x.socket().peer_addr().map_or(String::new(), |peer| format!("{peer} "));
            say(format_args!("{from}{method} {path}"));
        }
        if let Err(e) = answer(&method, &path, x) {
            say(toned(Tone::Bad, e));
        }
    }

    fn on_refused(&mut self, _: &mut SocketCx<'_>, why: &Refusal) {
        if !self.each.is_quiet() {
            say(toned(Tone::Bad, why));
        }
    }
}

fn answer(method: &str, path: &str, mut x: Exchange<'_>) -> Result<(), HttpError> {
    match (method, path) {
        ("GET" | "HEAD", "/hello") => {
            x.respond(Response::new(200).headers(PLAIN), "Hello, World!\n")?
        }
        ("POST", "/echo") => x.collect(1 << 20, |x, body| {
            let _ = x.respond(Response::new(200), body);
        }),
        ("GET" | "HEAD", "/slow") => {
            let key = x.key();
            x.after(Duration::from_secs(1), move |cx| {
                let _ = cx.exchange(key).reply(200, "late, but here\n");
            });
            x.later();
        }
        ("GET", _) => match path.strip_prefix("/bytes/").map(|n| n.parse()) {
            Some(Ok(n)) if n <= MOST => bytes(x, n)?,
            Some(_) => x.reply(400, "so many bytes? write /bytes/N\n"),
            None => x.reply(404, "ask for /hello, /echo, /bytes/N or /slow\n"),
        },
        _ => x.reply(404, "ask for /hello, /echo, /bytes/N or /slow\n"),
    }
    Ok(())
}

/// So many bytes, at the pace of the reader.
fn bytes(x: Exchange<'_>, n: u64) -> Result<(), HttpError> {
    let mut left = n;
    let mut more = move |x: &mut tidegate::http::ExchangeCx<'_>| {
        let block = [b'x'; 64 * 1024];
        while left > 0 {
            let part = left.min(block.len() as u64);
            match x.write(&block[..part as usize]) {
                Flow::Closed => return,
                flow => {
                    left -= part;
                    if flow == Flow::Full {
                        break;
                    }
                }
            }
        }
        if left == 0 {
            let _ = x.end();
        }
    };
    let mut x = x.start(Response::new(200).headers(PLAIN).length(n))?;
    more(&mut x);
    x.handle(OnExchange::new().drain(more));
    Ok(())
}

pub(super) fn run(args: Http, runner: Runner) -> Outcome {
    let mut lp = runner.make_loop()?;
    let mut options = HttpOptions::new();
    if let Some(after) = args.headers_timeout {
        options = options.headers_timeout(after);
    }
    if let Some(after) = args.request_timeout {
        options = options.request_timeout(after);
    }
    if let Some(after) = args.keep_alive_timeout {
        options = options.keep_alive_timeout(after);
    }
    let handler = Server { each: args.listening.each() };
    let server = lp.http_serve(args.listening.options(&args.at), options, handler);
    args.listening.run(lp, server, "HTTP: /hello, /echo, /bytes/N, /slow")
}
