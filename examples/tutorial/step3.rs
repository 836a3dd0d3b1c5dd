//! Step 3 of docs/tutorial: commands.

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

fn answer(words: &[&[u8]]) -> Vec<u8> {
    let Some((name, args)) = words.split_first() else { return Vec::new() };
    match (&name.to_ascii_uppercase()[..], args) {
        (b"PING", []) => b"+PONG\r\n".to_vec(),
        (b"ECHO", [text]) => bulk(text),
        _ => b"-ERR unknown command, or wrong arguments\r\n".to_vec(),
    }
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

fn main() -> Result<(), MainError> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    let mut lp = Loop::new()?;
    let server = lp.listen(at, |conn| {
        conn.accept(On::new().framed(Resp, |s, words| s.write(answer(&words))));
    })?;
    println!("listening on {}", lp.server(server).local_addr()?);
    Ok(lp.run()?)
}
