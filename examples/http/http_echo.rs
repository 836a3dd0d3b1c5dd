//! Bodies of requests: one that is collected, and one that is streamed.
//!
//! ```text
//! cargo run --release --example http_echo
//! curl -i http://127.0.0.1:3000/hello
//! curl -i -d '{"x":1}' http://127.0.0.1:3000/echo
//! curl -T FILE http://127.0.0.1:3000/stream
//! ```
//! `GET /hello` is answered with `world`. `POST /echo` is answered with the body in JSON, as
//! `{"youSent":"..."}`; the body is collected first, and may have 1 MiB. `/stream` sends back a body
//! of any size, as a pipe: the client is read no faster than it reads.

mod arguments;

use std::time::Duration;

use tidegate::http::{Exchange, ExchangeCx, Head, Http, HttpError, Response};
use tidegate::prelude::*;

use crate::arguments::{address, refuse};

const USAGE: &str = "usage: http_echo [HOST:PORT]    # 127.0.0.1:3000; Ctrl-C stops it";
const LIMIT: usize = 1 << 20;
const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn answer(head: &Head<'_>, x: Exchange<'_>) -> Result<(), HttpError> {
    match (head.method, head.path()) {
        ("GET" | "HEAD", "/hello") => x.respond(Response::new(200).headers(TEXT), "world\n")?,
        ("POST", "/echo") => x.collect(LIMIT, |x, body| {
            // An error: the client has gone.
            let _ = echo(x, &body);
        }),
        ("POST" | "PUT", "/stream") => {
            let mut x = x.later();
            let (body, reply) = (x.body_end(), x.reply_end());
            let piped = x.pipe(body, reply, |_, result| {
                if let Err(e) = result {
                    eprintln!("/stream: {e}");
                }
            });
            if piped.is_err() {
                x.reply(503, "")?;
            }
        }
        (_, "/hello") => x.respond(Response::new(405).header("allow", "GET, HEAD"), "")?,
        (_, "/echo") => x.respond(Response::new(405).header("allow", "POST"), "")?,
        (_, "/stream") => x.respond(Response::new(405).header("allow", "POST, PUT"), "")?,
        _ => x.reply(404, "no such place\n"),
    }
    Ok(())
}

fn echo(x: &mut ExchangeCx<'_>, body: &[u8]) -> Result<(), HttpError> {
    let Ok(text) = std::str::from_utf8(body) else {
        return x.reply(400, "the body is not UTF-8\n");
    };
    let json = serde_json::json!({ "youSent": text }).to_string();
    x.respond(Response::new(200).headers(JSON), json)
}

fn main() -> std::io::Result<()> {
    let at = address(USAGE).unwrap_or_else(|| "127.0.0.1:3000".into());
    env_logger::init();
    let mut lp = Loop::new()?;
    let server = lp.http_listen(at, |head, x| {
        if let Err(e) = answer(head, x) {
            eprintln!("{e}");
        }
    });
    let server = server.unwrap_or_else(|e| refuse(USAGE, e));
    lp.server(server).shutdown_on_signals(Duration::from_secs(10))?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()?;
    let m = lp.http_metrics();
    println!("{} requests, {} refused, {} broken", m.requests, m.refused + m.timed_out, m.broken);
    Ok(())
}
