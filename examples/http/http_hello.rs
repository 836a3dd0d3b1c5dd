//! The smallest server of HTTP, and what `http.createServer` of Node does:
//!
//! ```text
//! cargo run --release --example http_hello
//! curl -i http://127.0.0.1:3000/hello
//! ```
//!
//! `GET /hello` is answered with `Hello, World!`, `POST /echo` with the body. `/big` has 1 MiB.

mod arguments;

use std::time::Duration;

use bytes::Bytes;
use tidegate::http::{Exchange, Head, Http, HttpError, Response};
use tidegate::prelude::*;

use crate::arguments::{address, refuse};

const USAGE: &str = "usage: http_hello [HOST:PORT]    # 127.0.0.1:3000; Ctrl-C stops it";
const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];

fn main() -> std::io::Result<()> {
    let at = address(USAGE).unwrap_or_else(|| "127.0.0.1:3000".into());
    env_logger::init();
    let mut lp = Loop::new()?;
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    let options = ListenOptions::new(at).backlog(4096);
    let server = lp.http_listen(options, move |head, x| {
        let done = answer(head, x, &big);
        if let Err(e) = done {
            eprintln!("{e}");
        }
    });
    let server = server.unwrap_or_else(|e| refuse(USAGE, e));
    lp.server(server).shutdown_on_signals(Duration::from_secs(10))?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()
}

fn answer(head: &Head<'_>, x: Exchange<'_>, big: &Bytes) -> Result<(), HttpError> {
    match (head.method, head.path()) {
        ("GET" | "HEAD", "/hello") => {
            x.respond(Response::new(200).headers(TEXT), "Hello, World!")?
        }
        ("GET" | "HEAD", "/big") => x.respond(200, big.clone())?,
        ("POST", "/echo") => x.collect(1 << 20, |x, body| {
            let _ = x.respond(Response::new(200), body);
        }),
        _ => x.reply(404, "no such place\n"),
    }
    Ok(())
}
