//! Step 6 of docs/tutorial: an end in good order.

use std::collections::HashMap;
use std::time::Duration;

use tidegate::net::{AtLimit, Decode};
use tidegate::prelude::*;
use tidegate::stream::BoxError;
use tidegate::{Shared, TimerKey};

/// Of all keys and values.
const MEMORY: usize = 64 << 20;

/// Commands as Redis clients send them, or words on a line.
struct Resp;

impl Decode for Resp {
    type Frame<'a> = Vec<&'a [u8]>;

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Vec<&'a [u8]>>, BoxError> {
        let mut rest = *input;
        let Some(first) = line(&mut rest) else { return Ok(None) };
        let mut words = Vec::new();
        if let Some(count) = first.strip_prefix(b"*") {
            for _ in 0..number(count)? {
                let Some(header) = line(&mut rest) else { return Ok(None) };
                let len = number(header.strip_prefix(b"$").ok_or("expected '$'")?)?;
                let Some((word, after)) = rest.split_at_checked(len + 2) else { return Ok(None) };
                words.push(&word[..len]);
                rest = after;
            }
        } else {
            words.extend(first.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()));
        }
        *input = rest;
        Ok(Some(words))
    }
}

/// Takes a line off the input, if it has come.
fn line<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let line = &input[..end];
    *input = &input[end + 1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// A length, or how many words there are: never more than a command may be long.
fn number(digits: &[u8]) -> Result<usize, BoxError> {
    let number = std::str::from_utf8(digits)?.parse()?;
    if number > 1 << 20 { Err("too large".into()) } else { Ok(number) }
}

fn integer(digits: &[u8]) -> Result<i64, &'static str> {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or("ERR value is not an integer")
}

enum Reply {
    Text(&'static str),
    Number(i64),
    Bulk(Option<Vec<u8>>),
}

impl Reply {
    fn bytes(self) -> Vec<u8> {
        match self {
            Reply::Text(text) => format!("+{text}\r\n").into(),
            Reply::Number(number) => format!(":{number}\r\n").into(),
            Reply::Bulk(None) => b"$-1\r\n".to_vec(),
            Reply::Bulk(Some(value)) => {
                let header = format!("${}\r\n", value.len());
                [header.as_bytes(), &value, b"\r\n"].concat()
            }
        }
    }
}

#[derive(Default)]
struct Db {
    keys: HashMap<Vec<u8>, Entry>,
    memory: usize,
    commands: u64,
}

#[derive(Default)]
struct Entry {
    value: Vec<u8>,
    /// Removes the key when its time is over.
    timer: Option<TimerKey>,
}

impl Db {
    fn answer(&mut self, s: &mut SocketCx<'_>, shared: Shared<Db>, words: &[&[u8]]) -> Flow {
        self.commands += 1;
        match self.run(&mut s.cx(), shared, words) {
            Ok(reply) => s.write(reply.bytes()),
            Err(error) => s.write(format!("-{error}\r\n")),
        }
    }

    fn run(
        &mut self,
        cx: &mut Cx<'_>,
        shared: Shared<Db>,
        words: &[&[u8]],
    ) -> Result<Reply, &'static str> {
        let (name, args) = words.split_first().ok_or("ERR no command")?;
        Ok(match (&name.to_ascii_uppercase()[..], args) {
            (b"PING", []) => Reply::Text("PONG"),
            (b"ECHO", [text]) => Reply::Bulk(Some(text.to_vec())),
            (b"GET", [key]) => Reply::Bulk(self.keys.get(*key).map(|entry| entry.value.clone())),
            (b"SET", [key, value]) => {
                self.set(key, value)?;
                self.set_timer(cx, key, None);
                Reply::Text("OK")
            }
            (b"DEL", [key]) => {
                self.set_timer(cx, key, None);
                Reply::Number(self.remove(key).into())
            }
            (b"INCR", [key]) => {
                let old = self.keys.get(*key).map_or(Ok(0), |old| integer(&old.value))?;
                let new = old.checked_add(1).ok_or("ERR increment would overflow")?;
                self.set(key, new.to_string().as_bytes())?;
                Reply::Number(new)
            }
            (b"EXPIRE", [key, seconds]) => {
                let seconds = u64::try_from(integer(seconds)?).unwrap_or(0);
                let gone = key.to_vec();
                let timer = cx.after(Duration::from_secs(seconds), move |cx| {
                    let _ = cx.with(shared, |db, _| db.remove(&gone));
                });
                let _ = cx.set_ref(timer, false);
                Reply::Number(self.set_timer(cx, key, Some(timer)).into())
            }
            (b"TTL", [key]) => Reply::Number(match self.keys.get(*key).map(|entry| entry.timer) {
                None => -2,
                Some(None) => -1,
                Some(Some(timer)) => match cx.timer_due_in(timer) {
                    Ok(left) => left.as_secs_f64().round() as i64,
                    Err(_) => 0,
                },
            }),
            _ => return Err("ERR unknown command, or wrong arguments"),
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let old = self.keys.get(key).map_or(0, |old| size(key, &old.value));
        let memory = self.memory - old + size(key, value);
        if memory > MEMORY {
            return Err("OOM the memory is full");
        }
        self.memory = memory;
        self.keys.entry(key.to_vec()).or_default().value = value.to_vec();
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let Some(old) = self.keys.remove(key) else { return false };
        self.memory -= size(key, &old.value);
        true
    }

    /// Replaces the timer of a key; without a key, the new one is stopped.
    fn set_timer(&mut self, cx: &mut Cx<'_>, key: &[u8], timer: Option<TimerKey>) -> bool {
        let entry = self.keys.get_mut(key);
        let found = entry.is_some();
        let old = match entry {
            Some(entry) => std::mem::replace(&mut entry.timer, timer),
            None => timer,
        };
        if let Some(old) = old {
            let _ = cx.timer_stop(old);
        }
        found
    }
}

/// With about what an entry takes beside its bytes.
fn size(key: &[u8], value: &[u8]) -> usize {
    key.len() + value.len() + 200
}

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let mut lp = Loop::new()?;
    let shared = lp.share(Db::default())?;
    let options = ListenOptions::new(at)
        .max_connections(1000, AtLimit::Hold)
        .idle_timeout(Duration::from_secs(300));
    let server = lp.listen(options, move |conn| {
        let answer = move |s: &mut SocketCx<'_>, words: Vec<&[u8]>| {
            s.with(shared, |db, s| db.answer(s, shared, &words)).unwrap_or(Flow::Closed)
        };
        conn.accept(On::new().framed(Resp, answer).on_bad_frame(|_, s, error| {
            let _ = s.end_with(format!("-ERR Protocol error: {error}\r\n"));
        }));
    })?;
    lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()?;
    let commands = lp.with(shared, |db, _| db.commands).unwrap_or(0);
    println!("{commands} commands on {} connections", lp.net_metrics().closed);
    Ok(())
}
