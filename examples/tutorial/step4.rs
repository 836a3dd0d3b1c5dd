//! Step 4 of docs/tutorial: shared state.

use std::collections::HashMap;

use tidegate::net::Decode;
use tidegate::prelude::*;
use tidegate::stream::BoxError;

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
    keys: HashMap<Vec<u8>, Vec<u8>>,
}

impl Db {
    fn answer(&mut self, words: &[&[u8]]) -> Vec<u8> {
        match self.run(words) {
            Ok(reply) => reply.bytes(),
            Err(error) => format!("-{error}\r\n").into(),
        }
    }

    fn run(&mut self, words: &[&[u8]]) -> Result<Reply, &'static str> {
        let (name, args) = words.split_first().ok_or("ERR no command")?;
        Ok(match (&name.to_ascii_uppercase()[..], args) {
            (b"PING", []) => Reply::Text("PONG"),
            (b"ECHO", [text]) => Reply::Bulk(Some(text.to_vec())),
            (b"GET", [key]) => Reply::Bulk(self.keys.get(*key).cloned()),
            (b"SET", [key, value]) => {
                self.keys.insert(key.to_vec(), value.to_vec());
                Reply::Text("OK")
            }
            (b"DEL", [key]) => Reply::Number(self.keys.remove(*key).is_some().into()),
            (b"INCR", [key]) => {
                let old = self.keys.get(*key).map_or(Ok(0), |old| integer(old))?;
                let new = old.checked_add(1).ok_or("ERR increment would overflow")?;
                self.keys.insert(key.to_vec(), new.to_string().into());
                Reply::Number(new)
            }
            _ => return Err("ERR unknown command, or wrong arguments"),
        })
    }
}

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let mut lp = Loop::new()?;
    let shared = lp.share(Db::default())?;
    let server = lp.listen(at, move |conn| {
        conn.accept(On::new().framed(Resp, move |s, words| {
            match s.with(shared, |db, _| db.answer(&words)) {
                Ok(answer) => s.write(answer),
                Err(_) => Flow::Closed,
            }
        }));
    })?;
    println!("listening on {}", lp.server(server).local_addr()?);
    Ok(lp.run()?)
}
