//! One connection, all the way: a server and a client in one loop, and the
//! timeline of both sides.
//!
//! ```text
//! cargo run --release --example request_path
//! ```
//! The client connects, sends, is answered, and half-closes; the server says one
//! last thing into the half-open connection and ends, too. Each line is one step:
//! microseconds since the loop was made, the turn and the phase that delivered
//! it, the callback it led to, its stage and the other endpoint.

use std::cell::RefCell;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{NetEvent, ServerEvent};
use tidegate::prelude::*;
use tidegate::{Event, Moment, Observer};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Loop,
    Server,
    Client,
}

struct Step {
    at: Moment,
    side: Side,
    stage: &'static str,
    more: String,
}

/// Collects the steps. Printing waits until the run is over: it takes longer
/// than all of them together.
#[derive(Default)]
struct Timeline {
    steps: Rc<RefCell<Vec<Step>>>,
}

impl Observer for Timeline {
    fn event(&mut self, at: &Moment, event: &Event<'_>) {
        let step = match event {
            Event::Poll { timeout: None, .. } => Some((Side::Loop, "poll", "may wait".to_owned())),
            Event::Poll { timeout: Some(t), .. } if *t == Duration::ZERO => {
                Some((Side::Loop, "poll", "does not wait".to_owned()))
            }
            Event::Poll { timeout: Some(t), .. } => {
                Some((Side::Loop, "poll", format!("at most {t:?}")))
            }
            Event::Polled { events, .. } => Some((Side::Loop, "polled", format!("{events} ready"))),
            Event::Layer(e) => e.as_any().downcast_ref().and_then(|e| self.net(e)),
            _ => None,
        };
        if let Some((side, stage, more)) = step {
            self.steps.borrow_mut().push(Step { at: *at, side, stage, more });
        }
    }
}

impl Timeline {
    fn net(&mut self, event: &NetEvent) -> Option<(Side, &'static str, String)> {
        match event {
            NetEvent::Server(s, ServerEvent::Listening) => {
                Some((Side::Server, "listen", format!("on {}", s.local)))
            }
            NetEvent::Server(..) => None,
            NetEvent::Socket(c, e) => {
                let side = if c.server.is_some() { Side::Server } else { Side::Client };
                Some((side, e.name(), e.to_string()))
            }
            _ => None,
        }
    }
}

struct Server;

impl ServerHandler for Server {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        let server = conn.server();
        let mut s = conn.accept(Answer);
        // One connection is all that this server takes.
        let _ = s.close_server(server);
    }
}

struct Answer;

impl Handler for Answer {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        println!("server got {:?}", String::from_utf8_lossy(chunk));
        let _ = s.write(b"the tide is in");
    }
    /// The client is done; we are not: the connection is half-open.
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
        let _ = s.write(b"is the gate open?");
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        if self.answer.is_empty() {
            s.end();
        }
        self.answer.extend_from_slice(chunk);
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        println!("client got {:?}; {close}", String::from_utf8_lossy(&self.answer));
    }
}

/// Which callback a step leads to.
fn callback(stage: &str) -> &'static str {
    match stage {
        "accept" => "on_connection",
        "connect" => "on_connect",
        "first read" => "on_data",
        "end" => "on_end",
        "finish" => "on_finish",
        "close" => "on_close",
        _ => "",
    }
}

/// What a whole run shows, on each side.
const EXPECTED: [(Side, &[&str]); 2] = [
    (Side::Server, &["listen", "accept", "first read", "end", "finish", "close"]),
    (Side::Client, &["connect start", "connect", "first read", "finish", "end", "close"]),
];

fn main() -> std::io::Result<()> {
    let mut lp = Loop::new()?;
    let timeline = Timeline::default();
    let steps = timeline.steps.clone();
    lp.observe(timeline);
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true);
    let server = lp.serve(options, Server)?;
    let at = lp.local_addr(server)?;
    lp.connect(at, Ask::default());
    lp.run()?;

    let steps = steps.borrow();
    println!(
        "\n{:>8} {:>5}  {:<8} {:<14}| {:<42}| client",
        "us", "turn", "phase", "calls", "server"
    );
    println!("{:-<39}+{:-<43}+{:-<43}", "", "", "");
    for Step { at, side, stage, more } in steps.iter() {
        let us = at.elapsed.as_micros();
        print!("{us:>8} {:>5}  {:<8} {:<14}", at.turn, at.phase, callback(stage));
        match side {
            Side::Loop => println!(":   {stage}: {more}"),
            Side::Server => println!("| {:<42}|", format!("{stage:<14}{more}")),
            Side::Client => println!("| {:<42}| {stage:<14}{more}", ""),
        }
    }
    let mut missing = Vec::new();
    for (side, stages) in EXPECTED {
        let name = if side == Side::Server { "server" } else { "client" };
        let absent =
            stages.iter().filter(|e| !steps.iter().any(|s| s.side == side && s.stage == **e));
        missing.extend(absent.map(|stage| format!("{name}: {stage}")));
    }
    if !missing.is_empty() {
        eprintln!("\nsteps that did not happen: {}", missing.join(", "));
        exit(1);
    }
    let net = steps.iter().filter(|s| s.side != Side::Loop).count();
    println!("\n{net} steps in {} turns; nothing is left in the loop.", lp.metrics().turns);
    Ok(())
}
