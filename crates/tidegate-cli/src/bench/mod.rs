//! `bench`: how fast a server is, beside a floor: the same work by hand, in alternating slices of
//! time.
//!
//! `load` is the client; `server` is what is measured if no other is named, `floor` the work by
//! hand; `latency` counts times, `report` shows them.
#![forbid(unsafe_code)]

mod floor;
mod latency;
mod load;
mod report;
mod server;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tidegate::http::{ClientRequest, HttpClient, Origin};
use tidegate::prelude::*;

use crate::exit::{Exit, Failure, Outcome};
use crate::terminal::{note, say};
use crate::values;
use floor::{Floor, Work};
use load::{Load, Operation};
use report::{Report, Side};
use server::Server;

const EXAMPLES: &str = "\
Examples:
  tidegate bench echo                          starts the server that it measures
  tidegate bench accept 127.0.0.1:7000         measures an echo server that runs already
  tidegate bench pump --connections 1          how many bytes a second
  tidegate bench http http://127.0.0.1:3000/hello --json

The floor is the least that such a server costs: one that does nothing else, without tidegate, in
this process. The same client measures both in turns, so their ratio hardly depends on what else the
machine does. The floor is on the loopback. So of a server on another machine, read its rate and its
latencies, not the ratio.";

/// Measure echoes, connections, bytes or requests, beside a floor
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Messages there and back on open connections
    ///
    /// Example: tidegate bench echo 127.0.0.1:7000 --connections 64
    Echo(Measured),
    /// Connections, each with one message there and back
    ///
    /// Example: tidegate bench accept --time 5s
    Accept(Measured),
    /// Bytes there and back on open connections, without waiting for those before
    ///
    /// Up to 1 MiB is under way on each connection. A message is 64 KiB, unless `--bytes` says more
    /// or less; its latency is from the write until its last byte is back.
    ///
    /// Example: tidegate bench pump --connections 1 --json
    Pump(Measured),
    /// GETs on kept connections
    ///
    /// Example: tidegate bench http http://127.0.0.1:3000/hello
    Http(Measured),
}

#[derive(Args, Debug)]
struct Measured {
    /// HOST:PORT of a server that echoes, or a URL for `http`; none starts one
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// The size of a message [default: 64, or 64K for `pump`]
    #[arg(long, value_name = "SIZE", value_parser = values::some_bytes)]
    bytes: Option<u64>,
    /// How long it takes in all
    #[arg(long, value_name = "TIME", value_parser = values::time, default_value = "4s")]
    time: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the latencies as a picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// How long the server or the floor is measured before the other one takes its turn.
const SLICE: Duration = Duration::from_millis(200);
/// The largest message, and the largest answer of HTTP that the floor can give.
const MOST: u64 = 1 << 20;

pub(crate) fn run(args: Bench) -> Outcome {
    match args.what {
        What::Echo(args) => measure(Operation::Echo, args),
        What::Accept(args) => measure(Operation::Accept, args),
        What::Pump(args) => measure(Operation::Pump, args),
        What::Http(args) => measure(Operation::Http, args),
    }
}

fn measure(operation: Operation, args: Measured) -> Outcome {
    let bytes = args.bytes.unwrap_or(if operation == Operation::Pump { 64 << 10 } else { 64 });
    if bytes > MOST {
        return Err(Failure::bad_argument("--bytes: 1M is the most"));
    }
    let http = operation == Operation::Http;
    let mut own = None;
    let to = match args.target {
        Some(url) if http && Origin::parse(&url).is_none_or(|_| url.starts_with("https:")) => {
            return Err(Failure::bad_argument(format_args!("{url:?} is no URL of http")));
        }
        Some(target) => target,
        None => {
            let server = own.insert(Server::start(http)?);
            if http { format!("http://{}/", server.at) } else { server.at.to_string() }
        }
    };
    if !http {
        ConnectOptions::new(to.as_str()).check().map_err(Failure::bad_argument)?;
    }
    let (at_once, bytes) = (usize::from(args.connections), bytes as usize);
    let target = Load { operation, to, at_once, bytes };
    let work = if http { Work::Answer(answer_of(&target.to)?) } else { Work::Echo };
    let floor = Floor::start(work)?;
    let to = if http { format!("http://{}/", floor.at) } else { floor.at.to_string() };
    let report = contest(&target, &Load { to, ..target.clone() }, args.time)?;
    drop((own, floor));
    if args.json {
        say(report.json());
    } else {
        say(report.text());
    }
    if let Some(file) = args.svg {
        std::fs::write(&file, report.svg())
            .map_err(|e| Failure::new(format_args!("{}: {e}", file.display())))?;
        note(format_args!("the picture is in {}", file.display()));
    }
    match report.target.why {
        Some(why) => {
            Err(Failure::new(format_args!("{} operations failed: {why}", report.target.failed)))
        }
        None => Ok(Exit::Done),
    }
}

/// In turns, so that both see the same machine.
fn contest(target: &Load, floor: &Load, time: Duration) -> Result<Report, Failure> {
    let cycles = (time.as_secs_f64() / (2.0 * SLICE.as_secs_f64())).round().max(1.0) as u32;
    let mut report = Report {
        load: target.clone(),
        target: Side::new(),
        floor: Side::new(),
        ratios: Vec::new(),
    };
    for cycle in 0..cycles {
        progress(cycle, cycles);
        let of_target = load::slice(target, SLICE)?;
        let of_floor = load::slice(floor, SLICE)?;
        let each = |s: &load::Slice| s.wall.as_secs_f64() / s.latency.count() as f64;
        let ratio = each(&of_target) / each(&of_floor);
        if ratio.is_finite() {
            report.ratios.push(ratio);
        }
        for (side, slice) in [(&mut report.target, of_target), (&mut report.floor, of_floor)] {
            side.wall += slice.wall;
            side.latency.add(&slice.latency);
            side.failed += slice.failed;
            side.why = side.why.take().or(slice.why);
        }
        if report.target.why.is_some() {
            break;
        }
    }
    progress(cycles, cycles);
    report.ratios.sort_by(f64::total_cmp);
    Ok(report)
}

/// On a terminal, a bar; a full one is taken away.
fn progress(done: u32, of: u32) {
    let mut err = std::io::stderr().lock();
    if !err.is_terminal() {
        return;
    }
    let width = (40 * done / of.max(1)) as usize;
    let shown = if done < of {
        write!(err, "\r[{:#<width$}{:<1$}] {done}/{of}", "", 40 - width)
    } else {
        write!(err, "\r{:60}\r", "")
    };
    // There is nowhere else to say that this failed.
    let _ = shown.and_then(|()| err.flush());
}

/// What the floor answers: as many bytes as the target does.
fn answer_of(url: &str) -> Result<Vec<u8>, Failure> {
    let mut lp = Loop::new()?;
    let body = std::rc::Rc::new(std::cell::Cell::new(None));
    let got = body.clone();
    lp.fetch(ClientRequest::get(url), MOST as usize, move |_, answer| {
        got.set(Some(answer.map(|a| (a.status, a.body.len()))));
    })?;
    lp.run()?;
    match body.take() {
        Some(Ok((status, bytes))) if status < 400 => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
            let mut answer = head.into_bytes();
            answer.resize(answer.len() + bytes, b'x');
            Ok(answer)
        }
        Some(Ok((status, _))) => Err(Failure::new(format_args!("{url}: the answer is {status}"))),
        Some(Err(e)) => Err(e.into()),
        None => Err(Failure::new(format_args!("{url}: no answer"))),
    }
}
