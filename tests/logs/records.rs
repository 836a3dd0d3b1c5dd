//! Events as records of the `log` crate. One line of a connection that failed is enough to
//! place it: stage, code, endpoints, and how long it took. For every failure that the
//! example `refused_reset_timeout` shows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use log::Level;
use tidegate::net::{LookupAnswer, LookupFault};
use tidegate::observe::{LayerEvent, LogRecords, Value};
use tidegate::prelude::*;

use crate::logged::{self, Logged};
use crate::support::*;

const SHORT: Duration = Duration::from_millis(20);

/// A record, kept.
#[derive(Clone, Debug)]
struct Line {
    level: Level,
    target: String,
    text: String,
    values: BTreeMap<String, String>,
}

impl Line {
    fn of(line: logged::Line) -> Line {
        let mut values = BTreeMap::new();
        for (key, value) in line.values {
            let twice = values.insert(key.clone(), value);
            assert_eq!(twice, None, "{key} comes twice");
        }
        Line { level: line.level, target: line.target, text: line.text, values }
    }

    fn get(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }
}

/// What is logged while `run` does it.
fn logged(run: impl FnOnce(&mut Loop)) -> Vec<Line> {
    logged_of(guarded(), run)
}

fn logged_of(mut lp: Guarded, run: impl FnOnce(&mut Loop)) -> Vec<Line> {
    let logged = Logged::begin();
    lp.observe(LogRecords::new());
    run(&mut lp);
    logged.take().into_iter().map(Line::of).collect()
}

/// The one line of a connection that failed.
fn failure(run: impl FnOnce(&mut Loop)) -> Line {
    let lines = logged(run);
    let failed: Vec<&Line> = lines.iter().filter(|l| !l.get("stage").is_empty()).collect();
    let closed: Vec<&&Line> = failed.iter().filter(|l| l.get("event") == "close").collect();
    assert_eq!(closed.len(), 1, "{lines:#?}");
    let line: Line = Line::clone(closed[0]);
    assert_eq!((line.level, &line.target[..]), (Level::Info, "tidegate::net"));
    let twice = lines.iter().filter(|l| l.level <= Level::Info && l.text == line.text).count();
    assert_eq!(twice, 1, "{lines:#?}");
    line
}

/// Placed by its values, and by its text alone.
fn placed(what: &str, line: &Line, stage: &str, code: &str, remote: Option<SocketAddr>) {
    assert_eq!((line.get("stage"), line.get("code")), (stage, code), "{what}: {line:#?}");
    assert!(line.get("elapsed_ns").parse::<u64>().unwrap() > 0, "{what}: {line:#?}");
    assert!(line.text.starts_with(line.get("conn")), "{what}: {line:#?}");
    assert!(line.text.contains(" after "), "{what}: {line:#?}");
    assert!(line.text.contains(stage), "{what}: {line:#?}");
    let said = if line.get("deadline").is_empty() { code } else { line.get("deadline") };
    assert!(line.text.contains(said), "{what}: {line:#?}");
    match remote {
        Some(remote) => {
            let remote = remote.to_string();
            assert_eq!(line.get("remote"), remote, "{what}: {line:#?}");
            assert!(line.text.contains(&remote), "{what}: {line:#?}");
            let local = line.get("local");
            assert!(!local.is_empty() && line.text.contains(local), "{what}: {line:#?}");
        }
        // It never had one: the name stands for it.
        None => assert!(line.text.contains(line.get("name")), "{what}: {line:#?}"),
    }
}

fn quiet() -> On {
    On::new().close(|_, _| {})
}

/// A peer on another thread, which does this with the connection.
fn peer(treat: impl FnOnce(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || treat(listener.accept().unwrap().0));
    at
}

/// A peer that says nothing, for as long as the test takes.
fn mute() -> SocketAddr {
    peer(std::mem::forget)
}

fn unknown(fault: LookupFault) -> impl Fn(&mut Cx<'_>, &str, LookupAnswer) + 'static {
    move |cx, _, answer| answer.give(cx, Err(fault.into()))
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_line_of_a_failed_connection_is_enough_to_place_it() {
    let at = closed_port();
    let line = failure(|lp| {
        lp.connect(at, quiet());
        lp.run().unwrap();
    });
    placed("refused", &line, "connect", "ECONNREFUSED", Some(at));

    match silent() {
        Some((listener, _fill)) => {
            let at = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
            let line = failure(|lp| {
                lp.connect(ConnectOptions::new(at).connect_timeout(SHORT), quiet());
                lp.run().unwrap();
            });
            placed("connect timeout", &line, "connect", "ETIMEDOUT", Some(at));
        }
        None => println!("skipped: this system answers beyond the backlog"),
    }

    let at = peer(|s| {
        std::io::Read::read(&mut &s, &mut [0]).unwrap();
        reset(s);
    });
    let line = failure(|lp| {
        let key = lp.connect(at, quiet());
        assert_eq!(lp.socket(key).write(b"x"), Flow::Ready);
        lp.run().unwrap();
    });
    placed("reset while reading", &line, "read", "ECONNRESET", Some(at));

    let at = peer(drop);
    let line = failure(|lp| {
        let on = quiet().end(|s| {
            let key = s.key();
            s.interval(Duration::from_millis(2), move |cx, timer| {
                if cx.socket(key).write(b"still there?") == Flow::Closed {
                    let _ = cx.close(timer);
                }
            });
        });
        lp.connect(ConnectOptions::new(at).allow_half_open(true), on);
        lp.run().unwrap();
    });
    let (stage, code) = (line.get("stage").to_owned(), line.get("code").to_owned());
    assert!(matches!(&code[..], "EPIPE" | "ECONNRESET"), "{line:#?}");
    placed("reset noticed by a write", &line, &stage, &code, Some(at));

    let at = mute();
    let line = failure(|lp| {
        lp.connect(ConnectOptions::new(at).idle_timeout(SHORT), quiet());
        lp.run().unwrap();
    });
    placed("silence", &line, "connection", "ETIMEDOUT", Some(at));
    assert_eq!(line.get("deadline"), "idle timeout");

    let at = mute();
    let line = failure(|lp| {
        let options = ConnectOptions::new(at).linger_timeout(SHORT);
        lp.connect(options, quiet().connect(|s| s.end()));
        lp.run().unwrap();
    });
    placed("linger", &line, "connection", "ETIMEDOUT", Some(at));
    assert_eq!(line.get("deadline"), "linger timeout");

    for (fault, code) in
        [(LookupFault::NotFound, "ENOTFOUND"), (LookupFault::TryAgain, "EAI_AGAIN")]
    {
        let line = failure(|lp| {
            let to = ConnectOptions::new("no-such-host.example:80").lookup(unknown(fault));
            lp.connect(to, quiet());
            lp.run().unwrap();
        });
        placed("lookup", &line, "lookup", code, None);
        assert_eq!(line.get("name"), "no-such-host.example:80");
    }

    let at = closed_port();
    let line = failure(|lp| {
        lp.connect(ConnectOptions::new(at).local_address([192, 0, 2, 1].into()), quiet());
        lp.run().unwrap();
    });
    placed("an address that is not ours", &line, "bind", "EADDRNOTAVAIL", Some(at));
    assert_eq!(line.get("local"), "192.0.2.1:0");

    // A server's connection, with the address that it came to.
    let mut ends = None;
    let line = failure(|lp| {
        let server = lp.listen("127.0.0.1:0", |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            conn.accept(quiet());
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let c = client(at);
        ends = Some((at, c.local_addr().unwrap()));
        lp.run_once().unwrap();
        reset(c);
        lp.run().unwrap();
    });
    let (local, remote) = ends.unwrap();
    placed("a server's", &line, "read", "ECONNRESET", Some(remote));
    assert_eq!(line.get("local"), local.to_string());
    assert!(line.get("server").starts_with('s'), "{line:#?}");

    times_agree();
    one_line_each();
    levels();
}

/// A name with a line break in it does not begin a new line in the log.
fn one_line_each() {
    let lines = logged(|lp| {
        let to = ConnectOptions::new(("gate\nERROR all is lost", 80));
        lp.connect(to.lookup(unknown(LookupFault::NotFound)), On::new());
        lp.run().unwrap();
    });
    let said = lines.iter().filter(|l| l.text.contains("gate"));
    // Where it starts, where it fails, and nobody handles that.
    assert_eq!(said.count(), 3, "{lines:#?}");
    assert!(lines.iter().all(|l| !l.text.contains('\n')), "{lines:#?}");
    // Nor do its values: loggers print them, too.
    assert!(lines.iter().any(|l| l.get("host") == r"gate\nERROR all is lost"), "{lines:#?}");
}

/// The whole took no less than its one attempt.
fn times_agree() {
    let at = closed_port();
    for local in [None, Some([192, 0, 2, 1])] {
        let mut took = Vec::new();
        let lines = logged(|lp| {
            let to = ConnectOptions::new(at);
            let to = match local {
                Some(local) => to.local_address(local.into()),
                None => to,
            };
            lp.connect(to, quiet());
            lp.run().unwrap();
        });
        for line in &lines {
            match line.get("event") {
                "attempt failed" => took.push(said_ms(&line.text)),
                "close" => took.push(said_ms(&line.text)),
                _ => {}
            }
        }
        assert_eq!(took.len(), 2, "{lines:#?}");
        assert!(took[0] <= took[1], "{took:?} of {lines:#?}");
    }
}

/// Of a text with "after 0.2 ms".
fn said_ms(text: &str) -> f64 {
    let (_, after) = text.split_once(" after ").unwrap();
    after.split_once(" ms").unwrap().0.parse().unwrap()
}

/// An ordinary connection tells nothing above debug; every layer has its target; a call
/// that holds the loop up is a warning.
fn levels() {
    let at = peer(drop);
    let lines = logged(|lp| {
        lp.connect(at, quiet());
        lp.run().unwrap();
    });
    assert!(lines.iter().all(|l| l.level >= Level::Debug), "{lines:#?}");
    let debug: Vec<&Line> = lines.iter().filter(|l| l.level == Level::Debug).collect();
    assert!(debug.iter().all(|l| l.target == "tidegate::net"), "{debug:#?}");
    let names: Vec<&str> = debug.iter().map(|l| l.get("event")).collect();
    assert_eq!(names, ["connect start", "connect", "end", "finish", "close"]);
    assert!(lines.iter().any(|l| l.target == "tidegate::loop" && l.get("event") == "phase end"));

    let (lp, script) = scripted();
    let lines = logged_of(lp, |lp| {
        let work = move || script.advance(Duration::from_millis(100));
        lp.timer(Duration::ZERO, move |_, _| work());
        lp.run().unwrap();
    });
    let warned: Vec<&Line> = lines.iter().filter(|l| l.level <= Level::Warn).collect();
    assert!(warned.len() == 1 && warned[0].text.starts_with("timer "), "{warned:#?}");
    assert!(warned[0].get("took_ns").parse::<u64>().unwrap() >= 100_000_000);
}

/// An event of a layer that names itself and its fields.
#[derive(Debug)]
struct Answered;

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("answered")
    }
}

impl LayerEvent for Answered {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
    fn layer(&self) -> &'static str {
        "gopher"
    }
    fn name(&self) -> &'static str {
        "answer"
    }
    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        visit("took", Duration::from_micros(5).into());
    }
}

#[test]
fn events_of_other_layers_have_their_target_and_their_values() {
    let logged = Logged::begin();
    let mut lp = guarded();
    lp.observe(LogRecords::new());
    lp.cx().driver().emit(|| Answered);
    drop(lp);
    let lines = logged.take();
    let line = Line::of(lines.into_iter().find(|l| l.text == "answered").unwrap());
    assert_eq!((line.level, &*line.target), (Level::Debug, "tidegate::gopher"));
    assert_eq!((line.get("event"), line.get("took_ns")), ("answer", "5000"));
}
