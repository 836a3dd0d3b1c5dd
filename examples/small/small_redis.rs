//! A small Redis server: PING, SET, GET, DEL, INCR. `small_redis [ADDR]`

use std::collections::HashMap;

use tidegate::net::{BoxError, Decode, Parser};
use tidegate::prelude::*;

/// The longest command, with all of its arguments.
const MAX_COMMAND: usize = 1 << 20;

type Db = HashMap<Vec<u8>, Vec<u8>>;

/// Cuts commands from the bytes: arrays of bulk strings, or words on a line.
struct Commands;

impl Decode for Commands {
    type Frame<'a> = Vec<&'a [u8]>;

    fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Vec<&'a [u8]>>, BoxError> {
        Parser::parse(input, |p| {
            let first = p.line()?;
            let Some(count) = first.strip_prefix(b"*") else {
                let words = first.split(u8::is_ascii_whitespace);
                return Ok(words.filter(|word| !word.is_empty()).collect());
            };
            let mut words = Vec::new();
            for _ in 0..length(count)? {
                p.expect(b"$")?;
                let length = length(p.line()?)?;
                words.push(p.bytes(length)?);
                p.expect(b"\r\n")?;
            }
            Ok(words)
        })
    }

    fn limit(&self) -> usize {
        MAX_COMMAND
    }
}

fn length(digits: &[u8]) -> Result<usize, BoxError> {
    let length = std::str::from_utf8(digits)?.parse()?;
    if length > MAX_COMMAND { Err("the command is too long".into()) } else { Ok(length) }
}

fn run(db: &mut Db, words: &[&[u8]]) -> Result<Vec<u8>, String> {
    let Some((name, args)) = words.split_first() else { return Ok(Vec::new()) };
    match (name.to_ascii_uppercase().as_slice(), args) {
        (b"PING", []) => Ok(b"+PONG\r\n".to_vec()),
        (b"PING", [text]) => Ok(bulk(text)),
        (b"SET", [key, value]) => {
            db.insert(key.to_vec(), value.to_vec());
            Ok(b"+OK\r\n".to_vec())
        }
        (b"GET", [key]) => Ok(db.get(*key).map_or(b"$-1\r\n".to_vec(), |value| bulk(value))),
        (b"DEL", [_, ..]) => Ok(integer(args.iter().filter_map(|key| db.remove(*key)).count())),
        (b"INCR", [key]) => {
            let value = db.entry(key.to_vec()).or_insert_with(|| b"0".to_vec());
            let old = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
            let old = old.ok_or("value is not an integer or out of range")?;
            let new = old.checked_add(1).ok_or("increment would overflow")?;
            *value = new.to_string().into();
            Ok(integer(new))
        }
        (b"PING" | b"SET" | b"GET" | b"DEL" | b"INCR", _) => {
            Err("wrong number of arguments".into())
        }
        _ => Err(format!("unknown command '{}'", name.escape_ascii())),
    }
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

fn integer(number: impl std::fmt::Display) -> Vec<u8> {
    format!(":{number}\r\n").into()
}

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let mut lp = Loop::new()?;
    let db = lp.share(Db::new())?;
    let options = ListenOptions::new(at).linger_timeout(Duration::from_secs(5));
    let server = lp.listen(options, move |conn| {
        let commands = On::shared(db).framed(Commands, |db, s, words| match run(db, &words) {
            Ok(answer) => s.write(answer),
            Err(error) => s.write(format!("-ERR {error}\r\n")),
        });
        conn.accept(commands.on_bad_frame(|_, s, error| {
            let _ = s.end_with(format!("-ERR Protocol error: {error}\r\n"));
        }));
    })?;
    lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
    println!("listening on {}", lp.server(server).local_addr()?);
    Ok(lp.run()?)
}
