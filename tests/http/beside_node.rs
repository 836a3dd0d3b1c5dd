//! Random messages, good and bad, for our decoders and for the parser of Node (llhttp): both have the
//! same message, or one of them refuses it. Two programs that read the same bytes in two ways are
//! what request smuggling needs.
//!
//! `TIDEGATE_MESSAGES` says how many messages there are, `TIDEGATE_SEED` which. Without Node the
//! test is skipped, with a line that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate::http::codec::{
    Event, FieldList, Fields, Framing, Limits, RequestDecoder, ResponseDecoder,
};

/// Pseudo-random numbers; the same on each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }
}

const STARTS: [&str; 18] = [
    "GET / HTTP/1.1",
    "GET /a?b=c HTTP/1.1",
    "POST /echo HTTP/1.1",
    "PUT /x HTTP/1.1",
    "HEAD / HTTP/1.1",
    "DELETE /1 HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "GET http://a/b HTTP/1.1",
    "CONNECT a:80 HTTP/1.1",
    "GET / HTTP/1.0",
    "POST / HTTP/1.0",
    "PATCH /p HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET /\t HTTP/1.1",
    "GET / HTTP/1.2",
    "GET / HTTP/2.0",
    "TIDE / HTTP/1.1",
    "GET /{}\"`^|<> HTTP/1.1",
];

const STATUSES: [&str; 14] = [
    "HTTP/1.1 200 OK",
    "HTTP/1.1 200",
    "HTTP/1.1 200 ",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 100 Continue",
    "HTTP/1.1 103 Early Hints",
    "HTTP/1.1 404 Not  Found",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 500 \u{e9}",
    "HTTP/1.1 101 Switching Protocols",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 OK",
    "HTTP/2 200 OK",
];

const FIELDS: [&str; 42] = [
    "Host: a",
    "Host: a",
    "Host: b:80",
    "Host:",
    "Content-Length: 4",
    "Content-Length: 0",
    "Content-Length: 10",
    "content-length: 4",
    "Content-Length: +4",
    "Content-Length: 4, 4",
    "Content-Length: 04",
    "Content-Length: 4 ",
    "Content-Length:\t4",
    "Content-Length : 4",
    "Content-Length: 0x4",
    "Content-Length: 18446744073709551616",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked",
    "transfer-encoding: Chunked",
    "Transfer-Encoding: chunked ",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: identity",
    "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding: chunked;a=b",
    "Transfer-Encoding:",
    "Transfer_Encoding: chunked",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: keep-alive, close",
    "Connection: upgrade",
    "Upgrade: tide",
    "Expect: 100-continue",
    "X: y",
    "X-Empty:",
    "X:\ty \t",
    "X: a\u{e9}b",
    "X: \"quoted, text\"",
    " folded: x",
    "X-Two: a\r\n b",
    ": no name",
    "no colon",
];

const BODIES: [&str; 20] = [
    "",
    "tide",
    "tidegate",
    "4\r\ntide\r\n0\r\n\r\n",
    "4\r\ntide\r\n0\r\nX: y\r\n\r\n",
    "4;a=b\r\ntide\r\n0\r\n\r\n",
    "4;a=\"b;c\"\r\ntide\r\n0\r\n\r\n",
    "4 \r\ntide\r\n0\r\n\r\n",
    "004\r\ntide\r\n000\r\n\r\n",
    "0x4\r\ntide\r\n0\r\n\r\n",
    "+4\r\ntide\r\n0\r\n\r\n",
    "A\r\n0123456789\r\n0\r\n\r\n",
    "a\r\n0123456789\r\n0\r\n\r\n",
    "4\ntide\n0\n\n",
    "4\r\ntide0\r\n\r\n",
    "4\r\ntide\r\n\r\n0\r\n\r\n",
    "4;\x00\r\ntide\r\n0\r\n\r\n",
    "ffffffffffffffff\r\ntide",
    "10000000000000004\r\ntide\r\n0\r\n\r\n",
    "4\r\ntide\r\n0\r\nContent-Length: 3\r\n\r\n",
];

/// What changes are made of.
const PIECES: [&str; 30] = [
    "\r\n", "\r", "\n", "\r\n\r\n", "\n\n", " ", "\t", ":", ",", ";", "=", "\"", "\0", "\x0b",
    "\x7f", "0", "1", "4", "f", "-", "+", "_", "x", "/", "?", "#", "HTTP/1.1", "chunked", "close",
    "\u{80}",
];

/// One byte for each character, as the texts above are meant.
fn latin(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.chars().map(|c| c as u8)
}

/// One or two messages, mostly good ones, and then some changes.
fn message(random: &mut Random, is_response: bool) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..1 + random.below(2) {
        // The first ones of each list are good.
        let good = random.below(3) > 0;
        let part = |n: usize, most: usize| if good { n } else { most };
        let start = match is_response {
            true => random.one(&STATUSES[..part(8, STATUSES.len())]),
            false => random.one(&STARTS[..part(8, STARTS.len())]),
        };
        let end = if !good && random.below(20) == 0 { "\n" } else { "\r\n" };
        all.extend(latin(start).chain(latin(end)));
        let body = random.below(5);
        if good {
            all.extend(latin(if is_response { "X: y\r\n" } else { "Host: a\r\n" }));
            let frame = [
                "",
                "Content-Length: 4\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Connection: close\r\n",
                "Content-Length: 0\r\n",
            ];
            all.extend(latin(frame[body]));
        }
        for _ in 0..random.below(if good { 2 } else { 5 }) {
            let from = if good { 33 } else { 0 };
            let to = if good { 37 } else { FIELDS.len() };
            all.extend(latin(random.one(&FIELDS[from..to])).chain(latin(end)));
        }
        all.extend(latin(end));
        let bodies = ["", "tide", "4\r\ntide\r\n0\r\n\r\n", "", ""];
        all.extend(latin(if good { bodies[body] } else { random.one(&BODIES) }));
    }
    let changes = [0, 0, 0, 1, 1, 2, 4][random.below(7)];
    for _ in 0..changes {
        let at = random.below(all.len() + 1);
        let rest = all.len() - at;
        let piece: Vec<u8> = latin(random.one(&PIECES)).collect();
        match random.below(6) {
            0 | 1 => drop(all.splice(at..at, piece)),
            2 => drop(all.splice(at..at + rest.min(piece.len()), piece)),
            3 => drop(all.drain(at..at + rest.min(1 + random.below(3)))),
            4 if rest > 0 => all[at] ^= 1 << random.below(8),
            // A line once more.
            5 => {
                let lines: Vec<&[u8]> = all.split_inclusive(|b| *b == b'\n').collect();
                let line = lines[random.below(lines.len().max(1)).min(lines.len() - 1)].to_vec();
                all.splice(at..at, line);
            }
            _ => all.truncate(at),
        }
        if all.is_empty() {
            break;
        }
    }
    all
}

type Field = (Vec<u8>, Vec<u8>);

/// A message as either of them has it.
#[derive(Debug, Default)]
struct Message {
    start: [Vec<u8>; 2],
    version: String,
    fields: Vec<Field>,
    upgrade: bool,
    keep_alive: bool,
    body: Vec<u8>,
    trailers: Vec<Field>,
    done: bool,
}

#[derive(Debug, Default)]
struct Decoded {
    all: Vec<Message>,
    refused: Option<String>,
}

fn owned(fields: &FieldList<'_>) -> Vec<Field> {
    fields.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

impl std::fmt::Display for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for m in &self.all {
            let fields = |all: &[Field]| {
                all.iter().map(|(n, v)| [text(n), text(v)].join(": ")).collect::<Vec<_>>()
            };
            let start = m.start.each_ref().map(|part| text(part));
            let (fields, trailers, body) = (fields(&m.fields), fields(&m.trailers), text(&m.body));
            write!(f, "\n  {start:?} {} {fields:?} {body:?} {trailers:?}", m.version)?;
            write!(f, " keep {}, upgrade {}, done {}", m.keep_alive, m.upgrade, m.done)?;
        }
        write!(f, "\n  refused: {:?}", self.refused)
    }
}

impl Decoded {
    /// Takes an event that has no head. Whether there is more.
    fn take<H>(&mut self, event: Event<'_, H>) -> bool {
        let Some(last) = self.all.last_mut() else {
            if let Event::Refused(why) = event {
                self.refused = Some(why.to_string());
            }
            return false;
        };
        match event {
            Event::Body(part) => last.body.extend(part),
            Event::Trailers(fields) => last.trailers = owned(&fields),
            Event::End => last.done = true,
            Event::Refused(why) => {
                self.refused = Some(why.to_string());
                return false;
            }
            _ => return false,
        }
        true
    }
}

fn request(bytes: &[u8]) -> Decoded {
    let (mut decoded, mut at) = (Decoded::default(), 0);
    let mut decoder = RequestDecoder::new(Limits::default());
    loop {
        let mut fields = Fields::new();
        let (n, event) = decoder.next(&bytes[at..], &mut fields);
        at += n;
        if let Event::Head(head) = &event {
            decoded.all.push(Message {
                start: [head.method.into(), head.target.into()],
                version: head.version.to_string(),
                fields: owned(&head.fields),
                upgrade: head.upgrade || head.is_connect(),
                keep_alive: head.keep_alive,
                ..Message::default()
            });
        } else if !decoded.take(event) {
            return decoded;
        }
    }
}

fn response(bytes: &[u8]) -> Decoded {
    let (mut decoded, mut at) = (Decoded::default(), 0);
    let mut decoder = ResponseDecoder::new(Limits::default());
    decoder.expect("GET");
    loop {
        let mut fields = Fields::new();
        let (n, event) = decoder.next(&bytes[at..], &mut fields);
        at += n;
        if let Event::Head(head) = &event {
            decoded.all.push(Message {
                // The text behind it means nothing.
                start: [head.status.to_string().into(), Vec::new()],
                version: head.version.to_string(),
                fields: owned(&head.fields),
                upgrade: head.upgrade,
                keep_alive: head.keep_alive || head.framing == Framing::UntilEnd,
                ..Message::default()
            });
        } else if !decoded.take(event) {
            break;
        }
    }
    if decoded.refused.is_none() && matches!(decoder.eof(), Ok(true)) {
        if let Some(last) = decoded.all.last_mut() {
            last.done = true;
        }
    }
    decoded
}

fn bytes(value: &Value) -> Vec<u8> {
    latin(value.as_str().unwrap_or_default()).collect()
}

/// A line of Node's.
fn theirs(line: &str, is_response: bool) -> Decoded {
    let value: Value = serde_json::from_str(line).unwrap();
    let fields = |list: &Value| {
        let list = list.as_array().unwrap();
        list.chunks(2).map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect::<Vec<_>>()
    };
    let all = value["all"].as_array().unwrap().iter().map(|m| Message {
        start: [
            bytes(&m["start"][0]),
            if is_response { Vec::new() } else { bytes(&m["start"][1]) },
        ],
        version: format!("HTTP/{}", m["version"].as_str().unwrap()),
        fields: fields(&m["fields"]),
        upgrade: m["upgrade"] == true,
        keep_alive: m["keep"] == true || is_response,
        body: bytes(&m["body"]),
        trailers: fields(&m["trailers"]),
        done: m["done"] == true,
    });
    let refused = value["refused"].as_str().map(str::to_owned);
    Decoded { all: all.collect(), refused }
}

/// How two decoders went, message by message: `Err` if they have different ones.
fn compare(ours: &Decoded, theirs: &Decoded) -> Result<&'static str, &'static str> {
    let most = ours.all.len().max(theirs.all.len());
    for at in 0..most {
        let (Some(a), Some(b)) = (ours.all.get(at), theirs.all.get(at)) else {
            return match (ours.all.len() > at, &ours.refused, &theirs.refused) {
                (true, _, Some(_)) => Ok("refused by node"),
                (false, Some(_), _) => Ok("refused by us"),
                _ => Err("a message that only one of them has"),
            };
        };
        if a.start != b.start || a.version != b.version {
            return Err("another start line");
        }
        if a.fields != b.fields {
            return Err("other fields");
        }
        // What is behind such a head is another protocol.
        if a.upgrade || b.upgrade {
            return Ok("upgraded");
        }
        match (a.done, b.done) {
            (true, true) if a.body != b.body => return Err("another body"),
            (true, true) if a.trailers != b.trailers => return Err("other trailers"),
            (true, true) if a.keep_alive && !b.keep_alive => return Err("who goes on"),
            // Nothing behind it is a message.
            (true, true) if !a.keep_alive || !b.keep_alive => return Ok("the same, and closed"),
            (true, true) => {}
            (true, false) if theirs.refused.is_some() => return Ok("refused by node"),
            (false, true) if ours.refused.is_some() => return Ok("refused by us"),
            (false, false) => break,
            _ => return Err("only one of them has the end of the body"),
        }
    }
    Ok(match (&ours.refused, &theirs.refused) {
        (None, None) => "the same",
        (Some(_), Some(_)) => "refused by both",
        (Some(_), None) => "refused by us",
        (None, Some(_)) => "refused by node",
    })
}

/// Where llhttp 9.3 does not follow the standard: a tab behind a value is no part of it (RFC 9110,
/// 5.5), but `chunked` with one is another coding there, and a response then has no end.
fn is_known(bytes: &[u8]) -> bool {
    bytes.to_ascii_lowercase().windows(8).any(|w| w == b"chunked\t")
}

/// A head that is not complete here and can never be: with its end it is refused. Until the end is
/// there the decoder only looks for it.
fn is_lost(ours: &Decoded, bytes: &[u8], is_response: bool) -> bool {
    let whole = [bytes, b"\r\n\r\n"].concat();
    let whole = if is_response { response(&whole) } else { request(&whole) };
    ours.refused.is_none() && whole.refused.is_some() && whole.all.len() == ours.all.len()
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn the_same_message_or_a_refusal() {
    let mut command = Command::new("node");
    command.args(["--no-deprecation", "-e", include_str!("node_parser.js")]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        return eprintln!("skipped: node is not installed");
    };
    let (count, seed) = (number("TIDEGATE_MESSAGES", 20_000), number("TIDEGATE_SEED", 1));
    let messages = move || {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..count).map(move |n| (n % 3 == 2, message(&mut random, n % 3 == 2)))
    };
    let mut to = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let mut out = Vec::new();
        for (is_response, bytes) in messages() {
            out.push(u8::from(is_response));
            out.extend((bytes.len() as u32).to_le_bytes());
            out.extend(bytes);
            if out.len() > 1 << 16 {
                // If Node is gone, the reader says so.
                let _ = to.write_all(&out);
                out.clear();
            }
        }
        let _ = to.write_all(&out);
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ends = BTreeMap::<&str, u64>::new();
    let (mut different, mut shown) = (0, BTreeSet::new());
    for (is_response, bytes) in messages() {
        let line = lines.next().expect("node ended early").unwrap();
        let ours = if is_response { response(&bytes) } else { request(&bytes) };
        let theirs = theirs(&line, is_response);
        match compare(&ours, &theirs) {
            Ok(end) => *ends.entry(end).or_default() += 1,
            Err(_) if is_known(&bytes) => *ends.entry("known").or_default() += 1,
            Err(_) if is_lost(&ours, &bytes, is_response) => {
                *ends.entry("refused by us").or_default() += 1;
            }
            Err(what) => {
                different += 1;
                // One of each kind and size is enough to see what it is.
                if shown.insert((what, ours.all.len(), ours.refused.is_some())) {
                    eprintln!("{what}: {:?}\nours: {ours}\nnode: {theirs}\n", text(&bytes));
                }
            }
        }
    }
    writer.join().unwrap();
    child.wait().unwrap();
    println!("{count} messages: {ends:?}");
    assert_eq!(different, 0, "messages that the two have in different ways; see above");
    let same = ends["the same"] + ends["the same, and closed"];
    assert!(same > count / 10 && ends["refused by both"] > count / 20, "{ends:?}");
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}
