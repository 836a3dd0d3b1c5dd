//! One connection from beginning to end: a server and a client in one loop, and what happened
//! on both sides, in order.
//!
//! ```text
//! cargo run --release --example request_path
//! cargo run --release --example request_path -- --http
//! cargo run --release --example request_path -- --trace path.json
//! ```
//! The client looks up the server's name, connects, sends, gets an answer, and ends its side.
//! The server writes once more into the half-open connection and ends its side, too. Each line is
//! one step: microseconds since the loop was made, the turn and the phase in which it happened,
//! the callback that was called, the name of the step and the other endpoint. With `--trace` the
//! same run is also written as a file for https://ui.perfetto.dev.
//!
//! With `--http` the two sides speak HTTP: a GET, and a POST on the same connection. The callbacks of
//! the connections are those of the HTTP layer then, and those of the requests are yours.

use std::process::exit;
use std::time::Duration;

use tidegate::http::{self, ClientRequest, Http, HttpClient, RequestError};
use tidegate::observe::{Perfetto, Side, Timeline};
use tidegate::prelude::*;

const QUESTION: &[u8] = b"is the gate open?";

struct Server;

impl ServerHandler for Server {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        let server = conn.server_key();
        let mut s = conn.accept(Answer);
        // This server takes one connection only.
        let _ = s.server(server).close();
    }
}

struct Answer;

impl Handler for Answer {
    fn on_data(&mut self, s: &mut SocketCx<'_>, _: &[u8]) {
        let _ = s.write(b"the tide is in");
    }
    /// The client has ended its side, the server has not: the connection is half-open.
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        let _ = s.write(b", and out");
        s.end();
    }
}

#[derive(Default)]
struct Ask {
    answer: Vec<u8>,
}

impl Handler for Ask {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        let _ = s.write(QUESTION);
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        if self.answer.is_empty() {
            s.end();
        }
        self.answer.extend_from_slice(chunk);
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        let [asked, got] = [QUESTION, &self.answer].map(String::from_utf8_lossy);
        println!("asked {asked:?}, got {got:?}; {close}");
    }
}

/// A server of HTTP, and a client with two requests. When the second is answered, the server shuts
/// down: it closes the connection, which waits for another request.
fn over_http(lp: &mut Loop) -> std::io::Result<()> {
    let server = lp.http_listen("127.0.0.1:0", |head, x| match (head.method, head.path()) {
        ("GET", "/hello") => x.reply(200, "world\n"),
        ("POST", "/echo") => x.collect(1000, |x, body| {
            let _ = x.reply(200, body);
        }),
        _ => x.reply(404, ""),
    })?;
    let url = format!("http://localhost:{}", lp.server(server).local_addr()?.port());
    let hello = ClientRequest::get(&format!("{url}/hello"));
    lp.fetch(hello, 1000, move |cx, answer| {
        show("GET /hello", answer);
        let echo = ClientRequest::post(&format!("{url}/echo")).body("is the gate open?");
        let done = move |cx: &mut Cx<'_>, answer| {
            show("POST /echo", answer);
            let _ = cx.server(server).shutdown(Duration::from_secs(1));
        };
        if let Err(full) = cx.fetch(echo, 1000, done) {
            eprintln!("{full}");
        }
    })?;
    Ok(())
}

fn show(asked: &str, answer: Result<http::Answer, RequestError>) {
    match answer {
        Ok(a) => {
            let body = String::from_utf8_lossy(&a.body);
            let kept = if a.totals.reused { "the same connection" } else { "a new connection" };
            println!("{asked}: {} {body:?}, on {kept}", a.status);
        }
        Err(e) => println!("{asked}: {e}"),
    }
}

/// The steps that a complete run shows, on each side.
type Expected = [(Side, &'static [&'static str]); 3];

/// The steps with `--http`, beside those of the connections.
const REQUESTS: Expected = [
    (Side::Loop, &["polled", "turn"]),
    (Side::Server, &["accept", "first read", "request", "response", "first write", "closed"]),
    (
        Side::Client,
        &[
            "request waiting",
            "connect",
            "request sent",
            "answer begun",
            "request answered",
            "close",
        ],
    ),
];

const EXPECTED: Expected = [
    (Side::Loop, &["polled", "turn"]),
    (
        Side::Server,
        &["listening", "accept", "first read", "first write", "end", "finish", "close", "closed"],
    ),
    (
        Side::Client,
        &[
            "lookup start",
            "lookup",
            "connect start",
            "connect",
            "first write",
            "first read",
            "finish",
            "end",
            "close",
        ],
    ),
];

/// Whether it is HTTP, and the file of `--trace FILE`.
fn arguments() -> (bool, Option<String>) {
    let (mut http, mut file) = (false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--http" => http = true,
            "--trace" if file.is_none() => {
                file = Some(args.next().unwrap_or_else(|| refuse()));
            }
            _ => refuse(),
        }
    }
    (http, file)
}

fn refuse() -> ! {
    eprintln!("{USAGE}");
    exit(2)
}

const USAGE: &str = "usage: request_path [--http] [--trace FILE]";

fn main() -> std::io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let mut lp = Loop::new()?;
    let timeline = Timeline::new();
    let (http, file) = arguments();
    let trace = file.as_ref().map(|file| {
        Perfetto::create(file).unwrap_or_else(|e| {
            eprintln!("{file} cannot be written: {e}. Give a path that can.");
            exit(1)
        })
    });
    let written = trace.as_ref().map(|trace| trace.written());
    // Printing waits until the steps are over: it takes longer than all of them together.
    lp.observe((timeline.clone(), trace));
    if http {
        over_http(&mut lp)?;
    } else {
        let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
        let server = lp.serve(options, Server)?;
        let port = lp.server(server).local_addr()?.port();
        lp.connect(("localhost", port), Ask::default());
    }
    lp.run()?;
    let turns = lp.metrics().turns;
    drop(lp);

    println!("\n{timeline}");
    if let (Some(file), Some(written)) = (file, written) {
        if let Err(e) = written.check() {
            eprintln!("{file} is not whole: {e}. Give a path with room for it.");
            exit(1);
        }
        println!("{file}: {} bytes. Open it in https://ui.perfetto.dev.", written.bytes());
    }
    let mut missing = Vec::new();
    for (side, stages) in if http { REQUESTS } else { EXPECTED } {
        let absent = stages.iter().filter(|stage| !timeline.has(side, stage));
        missing.extend(absent.map(|stage| format!("{side:?}: {stage}")));
    }
    if !missing.is_empty() {
        eprintln!("\nsteps that did not happen: {}", missing.join(", "));
        exit(1);
    }
    let steps = timeline.steps();
    let net = steps.iter().filter(|s| s.side != Side::Loop).count();
    println!("{net} steps in {turns} turns; nothing is left in the loop.");
    Ok(())
}
