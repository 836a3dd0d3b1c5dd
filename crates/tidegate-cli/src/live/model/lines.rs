//! A trace file of `JsonLines` as the messages of the page.
//!
//! A file does not say what waits in kernels: there the page shows that it does not know.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};

use serde_json::{Value, json};

use super::fold::Fold;
use super::message;
use super::ring::Note;
use super::turn::{Bits, Turn, Who};

/// Turns that are read; the page keeps all of them.
const TURNS: usize = 20_000;
/// A line of a trace is a few hundred bytes.
const LINE: u64 = 1 << 20;

/// Why a file is none that the page can show.
#[derive(Debug)]
pub(crate) enum NoReplay {
    Read(io::Error),
    /// A line that is no JSON object, or too long, by its number.
    Line(usize),
    /// There is no turn in it.
    NoTurn,
}

impl fmt::Display for NoReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoReplay::Read(e) => e.fmt(f),
            NoReplay::Line(n) => {
                write!(f, "line {n} is no event: give a file that `observe::JsonLines` wrote")
            }
            NoReplay::NoTurn => f.write_str(
                "there is no whole turn in the file: `JsonLines` wrote it `without_loop`, or \
                 the loop took no turn",
            ),
        }
    }
}

impl std::error::Error for NoReplay {}

/// What was read.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Each has `event` and `data`, as a live page gets them.
    pub(crate) messages: Vec<Value>,
    pub(crate) turns: usize,
    /// The file goes on behind the last turn that was read.
    pub(crate) is_cut: bool,
}

pub(crate) fn read(file: impl BufRead) -> Result<Replay, NoReplay> {
    let mut reader = Reader::default();
    let mut file = file;
    let mut line = Vec::new();
    for n in 1.. {
        line.clear();
        let got = io::Read::take(&mut file, LINE).read_until(b'\n', &mut line);
        if got.map_err(NoReplay::Read)? == 0 {
            break;
        }
        // The last line of a program that was killed may be half a line.
        let whole = line.ends_with(b"\n");
        match serde_json::from_slice::<Value>(&line) {
            Ok(event) if event.get("event").is_some() => reader.take(&event),
            _ if !whole && (line.len() as u64) < LINE => break,
            _ => return Err(NoReplay::Line(n)),
        }
        if reader.turns == TURNS {
            reader.is_cut = true;
            break;
        }
    }
    if reader.turns == 0 {
        return Err(NoReplay::NoTurn);
    }
    let Reader { messages, turns, is_cut, .. } = reader;
    Ok(Replay { messages, turns, is_cut })
}

#[derive(Default)]
struct Reader {
    fold: Fold,
    messages: Vec<Value>,
    turns: usize,
    is_cut: bool,
    conns: BTreeMap<String, Value>,
    servers: BTreeMap<String, Value>,
    notes: Vec<Value>,
    changed: bool,
}

fn text(event: &Value, name: &str) -> String {
    event[name].as_str().unwrap_or_default().to_owned()
}

fn number(event: &Value, name: &str) -> u64 {
    event[name].as_u64().unwrap_or_default()
}

impl Reader {
    fn take(&mut self, event: &Value) {
        let (name, phase) = (text(event, "event"), text(event, "phase"));
        if event["layer"] != "loop" {
            return self.of_layer(event, &name, &phase);
        }
        let fold = &mut self.fold;
        match name.as_str() {
            "turn" => {
                fold.begin(number(event, "turn"), number(event, "at_ns"));
                fold.queued_before(number(event, "ready"));
            }
            "polled" => fold.polled(
                number(event, "events"),
                number(event, "waited_ns"),
                number(event, "ready"),
            ),
            "phase end" => {
                if let Some(place) = fold.place(&text(event, "of")) {
                    fold.phase_over(place, number(event, "took_ns"));
                }
            }
            "ready" => fold.ready(Bits::parse(&text(event, "bits"))),
            "called" => {
                if let Some(place) = fold.place(&phase) {
                    let who = Who::Named(text(event, "handle"));
                    fold.called(who, text(event, "kind"), place, number(event, "took_ns"));
                }
            }
            "turn end" => {
                if let Some(turn) = fold.end(number(event, "took_ns")).cloned() {
                    self.turn_over(&turn);
                }
            }
            _ => {}
        }
    }

    fn turn_over(&mut self, turn: &Turn) {
        self.turns += 1;
        self.say("turns", json!({ "skipped": 0, "turns": [message::turn(turn)] }));
        if std::mem::take(&mut self.changed) {
            let conns: Vec<&Value> = self.conns.values().collect();
            let conns = json!({ "age_ms": 0, "list": conns, "more": 0 });
            self.say("conns", conns);
            let servers: Vec<&Value> = self.servers.values().collect();
            let servers = json!(servers);
            self.say("door", servers);
        }
        for note in std::mem::take(&mut self.notes) {
            self.say("note", note);
        }
    }

    fn say(&mut self, event: &str, data: Value) {
        self.messages.push(json!({ "event": event, "data": data }));
    }

    fn of_layer(&mut self, event: &Value, name: &str, phase: &str) {
        if let Some(conn) = event["conn"].as_str() {
            self.of_connection(event, conn, name);
        } else if let Some(server) = event["server"].as_str() {
            let row = self.servers.entry(server.to_owned()).or_insert_with(|| {
                json!({ "server": server, "name": event["local"], "depth": null, "limit": null,
                        "accepted": 0, "carried_over": 0 })
            });
            if name == "accept batch" {
                let (accepted, stopped) = (number(event, "accepted"), text(event, "stopped"));
                row["accepted"] = json!(number(row, "accepted") + accepted);
                if stopped == "budget" {
                    row["carried_over"] = json!(number(row, "carried_over") + 1);
                }
                self.fold.batch(Who::Named(server.to_owned()), accepted, stopped);
            }
            self.changed = true;
        }
        if is_worth_a_note(name) && self.notes.len() < 64 {
            let who = event["conn"].as_str().or(event["server"].as_str()).unwrap_or_default();
            let detail = ["error", "reason", "which"].iter().find_map(|f| event[*f].as_str());
            let note = Note {
                turn: number(event, "turn"),
                at: number(event, "at_ns"),
                phase: "",
                text: format!(
                    "{who}: {name}{}",
                    detail.map_or(String::new(), |d| format!(": {d}"))
                ),
            };
            let mut note = message::note(&note);
            note["phase"] = json!(phase);
            self.notes.push(note);
        }
    }

    fn of_connection(&mut self, event: &Value, conn: &str, name: &str) {
        if matches!(name, "close" | "reject" | "detach") {
            self.changed |= self.conns.remove(conn).is_some();
            return;
        }
        let row = self.conns.entry(conn.to_owned()).or_insert_with(|| {
            json!({ "id": conn, "ours": 0, "unsent": null, "unacked": null, "receive": null,
                    "peer_window": null, "paused": false, "full": false })
        });
        for field in ["local", "remote", "server"] {
            if event[field].is_string() {
                row[field] = event[field].clone();
            }
        }
        match name {
            "queued" => row["ours"] = json!(number(event, "bytes")),
            "full" => (row["ours"], row["full"]) = (json!(number(event, "queued")), json!(true)),
            "drain" => (row["ours"], row["full"]) = (json!(0), json!(false)),
            "pause" => row["paused"] = json!(true),
            "resume" => row["paused"] = json!(false),
            _ => {}
        }
        self.changed = true;
    }
}

/// Events that the page tells in words. The others are bars and counters.
pub(crate) fn is_worth_a_note(name: &str) -> bool {
    matches!(
        name,
        "reset"
            | "full"
            | "drain"
            | "timeout"
            | "dropped"
            | "shed"
            | "held"
            | "accept failed"
            | "attempt failed"
            | "lookup failed"
            | "limited"
            | "blocked"
            | "paused"
            | "resumed"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = concat!(
        r#"{"at_ns":10,"turn":1,"phase":"pending","layer":"loop","event":"turn","ready":0}"#,
        "\n",
        r#"{"at_ns":20,"turn":1,"phase":"poll","layer":"loop","event":"polled","events":1,"waited_ns":5,"ready":1}"#,
        "\n",
        r#"{"at_ns":21,"turn":1,"phase":"poll","layer":"loop","event":"phase end","of":"poll","took_ns":9}"#,
        "\n",
        r#"{"at_ns":22,"turn":1,"phase":"ready","layer":"loop","event":"ready","handle":"c1.2.1","kind":"socket","bits":"readable"}"#,
        "\n",
        r#"{"at_ns":23,"turn":1,"phase":"ready","layer":"net","event":"full","conn":"c1.2.1","remote":"127.0.0.1:9","queued":65536}"#,
        "\n",
        r#"{"at_ns":24,"turn":1,"phase":"ready","layer":"loop","event":"called","handle":"c1.2.1","kind":"socket","took_ns":2}"#,
        "\n",
        r#"{"at_ns":30,"turn":1,"phase":"timers","layer":"loop","event":"turn end","took_ns":20}"#,
        "\n",
    );

    #[test]
    fn a_trace_becomes_turns_connections_and_notes() {
        let replay = read(TRACE.as_bytes()).unwrap();
        assert_eq!((replay.turns, replay.is_cut), (1, false));
        let of = |name: &str| replay.messages.iter().find(|m| m["event"] == name).unwrap();
        let turn = &of("turns")["data"]["turns"][0];
        assert_eq!(
            (&turn["n"], &turn["took"], &turn["waited"]),
            (&json!(1), &json!(20), &json!(5))
        );
        assert_eq!(turn["calls"], json!([["c1.2.1", "socket", "R", 2, 4, false]]));
        let conn = &of("conns")["data"]["list"][0];
        assert_eq!((&conn["ours"], &conn["full"]), (&json!(65_536), &json!(true)));
        assert_eq!(conn["unsent"], Value::Null, "a file does not tell");
        assert_eq!(of("note")["data"]["text"], "c1.2.1: full");
    }

    #[test]
    fn what_is_no_trace_is_refused_and_half_a_last_line_is_not() {
        let cut = &TRACE[..TRACE.len() - 20];
        assert!(matches!(read(cut.as_bytes()), Err(NoReplay::NoTurn)), "the turn has no end");
        let longer = format!("{TRACE}{}", &TRACE[..40]);
        assert_eq!(read(longer.as_bytes()).unwrap().turns, 1);
        assert!(matches!(read(&b"hello\nworld\n"[..]), Err(NoReplay::Line(1))));
        assert!(matches!(read(&b"{\"a\":1}\n"[..]), Err(NoReplay::Line(1))));
        assert!(matches!(read(&b""[..]), Err(NoReplay::NoTurn)));
        let endless = vec![b'x'; 3 << 20];
        assert!(matches!(read(&endless[..]), Err(NoReplay::Line(1))));
    }
}
