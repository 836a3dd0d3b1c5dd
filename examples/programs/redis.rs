//! A small Redis server: strings, counters and deadlines, in memory.
//!
//! ```text
//! cargo run --release --example redis [HOST:PORT [BUSY_US]]
//! ```
//! Without an address it is 127.0.0.1:6380; port 0 takes a free one. With `BUSY_US` a poll asks the
//! kernel again for so many microseconds before it sleeps.
//!
//! Talk to it with `redis-cli -p 6380`, or in lines with `nc 127.0.0.1 6380`; stop it with Ctrl-C.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::io::{self, Write};
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{AtLimit, Decode, TcpKeepAlive};
use tidegate::prelude::*;
use tidegate::stream::BoxError;

const USAGE: &str = "usage: redis [HOST:PORT [BUSY_US]]    # 127.0.0.1:6380; Ctrl-C stops it
  BUSY_US: for how many microseconds a poll asks again before it sleeps (default 0)";
/// Of one command.
const MOST_BYTES: usize = 16 << 20;
const MOST_WORDS: usize = 1 << 16;
/// Of all keys and values, with what each takes beside its bytes.
const MEMORY: usize = 256 << 20;
const BESIDE: usize = 128;

/// Commands: arrays of strings, or words on a line.
struct Resp;

impl Decode for Resp {
    type Frame<'a> = Vec<&'a [u8]>;

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Vec<&'a [u8]>>, BoxError> {
        let mut rest = *input;
        let Some(first) = line(&mut rest)? else { return Ok(None) };
        let mut words = Vec::with_capacity(4);
        if let Some(count) = first.strip_prefix(b"*") {
            for _ in 0..number(count, MOST_WORDS).ok_or("invalid multibulk length")? {
                let Some(header) = line(&mut rest)? else { return Ok(None) };
                let len = header.strip_prefix(b"$").ok_or("expected '$'")?;
                let len = number(len, MOST_BYTES).ok_or("invalid bulk length")?;
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

    fn limit(&self) -> usize {
        MOST_BYTES
    }
}

/// Takes a line off the input, if it has come.
fn line<'a>(input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BoxError> {
    let Some(end) = input.iter().take(MOST_WORDS).position(|byte| *byte == b'\n') else {
        return if input.len() < MOST_WORDS { Ok(None) } else { Err("too big line".into()) };
    };
    let line = &input[..end];
    *input = &input[end + 1..];
    Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
}

fn number(digits: &[u8], most: usize) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|n| *n <= most)
}

fn integer(digits: &[u8]) -> Result<i64, String> {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| "ERR value is not an integer or out of range".to_owned())
}

enum Reply {
    Text(&'static str),
    Number(i64),
    Bulk(Option<Rc<[u8]>>),
    Many(Vec<Reply>),
}

impl Reply {
    fn of(text: &[u8]) -> Reply {
        Reply::Bulk(Some(text.into()))
    }

    fn put(&self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Reply::Text(text) => write!(out, "+{text}\r\n"),
            Reply::Number(n) => write!(out, ":{n}\r\n"),
            Reply::Bulk(None) => write!(out, "$-1\r\n"),
            Reply::Bulk(Some(value)) => {
                write!(out, "${}\r\n", value.len())?;
                out.extend_from_slice(value);
                out.write_all(b"\r\n")
            }
            Reply::Many(all) => {
                write!(out, "*{}\r\n", all.len())?;
                all.iter().try_for_each(|reply| reply.put(out))
            }
        }
    }
}

#[derive(Default)]
struct Db {
    keys: HashMap<Rc<[u8]>, Entry>,
    /// The keys that have a deadline, the earliest first.
    due: BTreeSet<(Duration, Rc<[u8]>)>,
    memory: usize,
    now: Duration,
    commands: u64,
    /// One answer, as bytes.
    out: Vec<u8>,
}

struct Entry {
    value: Rc<[u8]>,
    until: Option<Duration>,
}

impl Db {
    fn answer(&mut self, s: &mut SocketCx<'_>, words: &[&[u8]]) -> Flow {
        let Some((name, args)) = words.split_first() else { return Flow::Ready };
        self.now = s.now();
        self.commands += 1;
        self.out.clear();
        let reply = self.run(s, &name.to_ascii_uppercase(), args);
        // A `Vec` takes all that is written to it.
        let _ = match reply {
            Ok(reply) => reply.put(&mut self.out),
            Err(e) => write!(self.out, "-{e}\r\n"),
        };
        s.write(&self.out)
    }

    fn run(&mut self, s: &mut SocketCx<'_>, name: &[u8], args: &[&[u8]]) -> Result<Reply, String> {
        Ok(match (name, args) {
            (b"PING", []) => Reply::Text("PONG"),
            (b"PING" | b"ECHO", [text]) => Reply::of(text),
            (b"GET", [key]) => self.get(key),
            (b"MGET", [_, ..]) => Reply::Many(args.iter().map(|key| self.get(key)).collect()),
            (b"SET", [key, value]) => self.set(key, value, None)?,
            (b"SET", [key, value, ex, time]) if ex.eq_ignore_ascii_case(b"EX") => {
                self.set(key, value, Some(self.until(time)?))?
            }
            (b"MSET", [_, _, ..]) if args.len() % 2 == 0 => {
                args.chunks_exact(2)
                    .try_for_each(|pair| self.set(pair[0], pair[1], None).map(drop))?;
                Reply::Text("OK")
            }
            (b"DEL", [_, ..]) => count(args, |key| self.remove(key)),
            (b"EXISTS", [_, ..]) => count(args, |key| self.find(key).is_some()),
            (b"INCR", [key]) => {
                let old = self.find(key).map(|old| (old.value.clone(), old.until));
                let (old, until) = old.unwrap_or_else(|| (b"0"[..].into(), None));
                let sum = integer(&old)?.checked_add(1).ok_or("ERR increment would overflow")?;
                self.set(key, sum.to_string().as_bytes(), until)?;
                Reply::Number(sum)
            }
            (b"EXPIRE", [key, time]) => {
                let until = self.until(time)?;
                let old = self.find(key).map(|old| old.value.clone());
                let set = old.map(|value| self.set(key, &value, Some(until))).transpose()?;
                Reply::Number(set.is_some().into())
            }
            (b"TTL", [key]) => Reply::Number(match self.find(key).map(|entry| entry.until) {
                None => -2,
                Some(None) => -1,
                Some(Some(until)) => (until - self.now).as_secs_f64().round() as i64,
            }),
            (b"INFO", _) => Reply::of(self.info(s.net_metrics().sockets).as_bytes()),
            (b"COMMAND", _) => Reply::Many(vec![]),
            (b"CONFIG", [get, name]) if get.eq_ignore_ascii_case(b"GET") => match *name {
                b"save" => Reply::Many(vec![Reply::of(name), Reply::of(b"")]),
                b"appendonly" => Reply::Many(vec![Reply::of(name), Reply::of(b"no")]),
                _ => Reply::Many(vec![]),
            },
            _ => {
                let name = name.escape_ascii();
                return Err(format!("ERR unknown command '{name}', or wrong arguments for it"));
            }
        })
    }

    fn info(&self, clients: usize) -> String {
        let (commands, memory) = (self.commands, self.memory);
        let (keys, due) = (self.keys.len(), self.due.len());
        format!(
            "# Clients\r\nconnected_clients:{clients}\r\n# Memory\r\nused_memory:{memory}\r\n\
             maxmemory:{MEMORY}\r\n# Stats\r\ntotal_commands_processed:{commands}\r\n\
             # Keyspace\r\ndb0:keys={keys},expires={due}\r\n"
        )
    }

    /// So many seconds from now.
    fn until(&self, seconds: &[u8]) -> Result<Duration, String> {
        let seconds = u64::try_from(integer(seconds)?).ok().filter(|seconds| *seconds > 0);
        let until = seconds.and_then(|seconds| self.now.checked_add(Duration::from_secs(seconds)));
        until.ok_or_else(|| "ERR invalid expire time".to_owned())
    }

    /// The entry, if its time is not over.
    fn find(&self, key: &[u8]) -> Option<&Entry> {
        self.keys.get(key).filter(|entry| entry.until.is_none_or(|until| until > self.now))
    }

    fn get(&self, key: &[u8]) -> Reply {
        Reply::Bulk(self.find(key).map(|entry| entry.value.clone()))
    }

    fn set(&mut self, key: &[u8], value: &[u8], until: Option<Duration>) -> Result<Reply, String> {
        let size = key.len() + value.len() + BESIDE;
        if self.memory + size > MEMORY {
            return Err("OOM command not allowed when used memory > 'maxmemory'".to_owned());
        }
        let new = Entry { value: value.into(), until };
        let old = match self.keys.get_mut(key) {
            Some(entry) => Some(std::mem::replace(entry, new)),
            None => self.keys.insert(key.into(), new),
        };
        self.memory += size;
        self.forget(key, old);
        self.due.extend(until.map(|until| (until, key.into())));
        Ok(Reply::Text("OK"))
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let is_there = self.find(key).is_some();
        let old = self.keys.remove(key);
        self.forget(key, old);
        is_there
    }

    /// This entry of the key is no longer in `keys`.
    fn forget(&mut self, key: &[u8], old: Option<Entry>) {
        let Some(Entry { value, until }) = old else { return };
        self.memory -= key.len() + value.len() + BESIDE;
        if let Some(until) = until {
            self.due.remove(&(until, key.into()));
        }
    }

    /// Removes keys whose time is over, not too many at once.
    fn sweep(&mut self, now: Duration) {
        for _ in 0..10_000 {
            let Some((_, key)) = self.due.first().filter(|(until, _)| *until <= now) else {
                return;
            };
            let key = key.clone();
            self.remove(&key);
        }
    }
}

fn count(keys: &[&[u8]], mut f: impl FnMut(&[u8]) -> bool) -> Reply {
    Reply::Number(keys.iter().filter(|key| f(key)).count() as i64)
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (at, busy) = match &arguments[..] {
        [] => ("127.0.0.1:6380", "0"),
        [help] if help == "--help" => {
            println!("{USAGE}");
            return Ok(());
        }
        [at] => (&at[..], "0"),
        [at, busy] => (&at[..], &busy[..]),
        _ => refuse("an address and a number of microseconds, please"),
    };
    let busy = busy.parse().unwrap_or_else(|_| refuse(format!("{busy:?} is not a valid number")));
    let mut lp = Loop::builder().busy_poll(Duration::from_micros(busy)).build()?;
    let db = lp.share(Db::default())?;
    let options = ListenOptions::new(at)
        .max_connections(10_000, AtLimit::Hold)
        .keep_alive(TcpKeepAlive::default());
    let server = lp.listen(options, move |conn| {
        let run = move |s: &mut SocketCx<'_>, words: Vec<&[u8]>| {
            s.with(db, |db, s| db.answer(s, &words)).unwrap_or(Flow::Closed)
        };
        conn.accept(On::new().framed(Resp, run).on_bad_frame(|_, s, e| {
            let _ = s.end_with(format!("-ERR Protocol error: {e}\r\n"));
        }));
    });
    let server = server.unwrap_or_else(|e| refuse(e));
    let sweep = lp.interval(Duration::from_secs(1), move |cx, _| {
        let now = cx.now();
        let _ = cx.with(db, |db, _| db.sweep(now));
    });
    lp.set_ref(sweep, false)?;
    lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
    println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
    lp.run()
}

fn refuse(why: impl Display) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
