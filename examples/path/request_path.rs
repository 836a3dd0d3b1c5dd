//! One connection from beginning to end: a server and a client in one loop, and what happened
//! on both sides, in order.
//!
//! ```text
//! cargo run --release --example request_path
//! cargo run --release --example request_path -- --trace path.json
//! ```
//! The client looks up the server's name, connects, sends, gets an answer, and ends its side.
//! The server writes once more into the half-open connection and ends its side, too. Each line is
//! one step: microseconds since the loop was made, the turn and the phase in which it happened,
//! the callback that was called, the name of the step and the other endpoint. With `--trace` the
//! same run is also written as a file for https://ui.perfetto.dev.

use std::process::exit;

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

/// The steps that a complete run shows, on each side.
const EXPECTED: [(Side, &[&str]); 3] = [
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

/// The file of `--trace FILE`.
fn trace_file() -> Option<String> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (None, ..) => None,
        (Some("--trace"), Some(file), None) => Some(file),
        _ => {
            eprintln!("{USAGE}");
            exit(2);
        }
    }
}

const USAGE: &str = "usage: request_path [--trace FILE]";

fn main() -> std::io::Result<()> {
    if std::env::args().any(|a| a == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let mut lp = Loop::new()?;
    let timeline = Timeline::new();
    let file = trace_file();
    let trace = file.as_ref().map(|file| {
        Perfetto::create(file).unwrap_or_else(|e| {
            eprintln!("{file} cannot be written: {e}. Give a path that can.");
            exit(1)
        })
    });
    let written = trace.as_ref().map(|trace| trace.written());
    // Printing waits until the steps are over: it takes longer than all of them together.
    lp.observe((timeline.clone(), trace));
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
    let server = lp.serve(options, Server)?;
    let port = lp.server(server).local_addr()?.port();
    lp.connect(("localhost", port), Ask::default());
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
    for (side, stages) in EXPECTED {
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
