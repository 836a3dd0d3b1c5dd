//! [`RequestHead`]: the head of a request, checked.
#![forbid(unsafe_code)]

use memchr::memchr;

use crate::codec::fields::{self, Block, FieldList, Fields};
use crate::codec::framing::{Expect, Framing};
use crate::codec::target::{check, is_authority, is_same};
use crate::message::limits::Limits;
use crate::message::refusal::{Refusal, bad};
use crate::message::syntax::{TOKEN, end_in, end_of_target};
use crate::message::version::Version;

/// The head of a request. It borrows the bytes that it was read from.
///
/// ```
/// use tidegate_http::codec::{Event, Fields, Framing, Limits, RequestDecoder};
/// let bytes = b"PUT http://tide/high HTTP/1.1\r\nHost: tide\r\nContent-Length: 3\r\n\r\n";
/// let mut fields = Fields::new();
/// let mut decoder = RequestDecoder::new(Limits::default());
/// let (_, Event::Head(head)) = decoder.next(bytes, &mut fields) else { unreachable!() };
/// assert_eq!((head.method, head.host(), head.framing), ("PUT", "tide", Framing::Length(3)));
/// assert!(head.keep_alive);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'b> {
    /// The method, as it came.
    pub method: &'b str,
    /// The target, as it came: visible ASCII, without `#`.
    pub target: &'b str,
    /// The version.
    pub version: Version,
    /// Every field.
    pub fields: FieldList<'b>,
    /// How long the body is.
    pub framing: Framing,
    /// Whether the client wants to go on with the connection.
    pub keep_alive: bool,
    /// What it waits for before it sends the body.
    pub expect: Expect,
    /// Whether it asks for another protocol: `Upgrade`, named in `Connection`.
    pub upgrade: bool,
    host: &'b [u8],
}

impl<'b> RequestHead<'b> {
    /// The target's authority; without one the value of `Host`; empty if there is none.
    pub fn host(&self) -> &'b str {
        // It was checked, and is ASCII.
        std::str::from_utf8(self.host).unwrap_or_default()
    }

    /// Whether the method is HEAD: the answer has no body.
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether the method is CONNECT: a tunnel is wanted.
    pub fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }
}

/// Parses the head that `bytes` begin with; how long it is. They end with an empty line, that of this
/// head or a later one. `before` are the fields of the request before, and says where they are in
/// `kept`, so each call must get the same two. Pipelined requests mostly have the same fields, which
/// need not be read again.
#[inline]
pub(super) fn parse<'f, 'b: 'f>(
    bytes: &'b [u8],
    kept: &'f mut Fields,
    before: &mut Option<Block<'b>>,
    limits: &Limits,
) -> Result<(RequestHead<'f>, usize), Refusal> {
    let line = line(bytes)?;
    let (method, target, version) = (line.method, line.target, line.version);
    if method.len() > 32 {
        return Err(bad("a long method"));
    }
    if target.len() > limits.max_target as usize {
        return Err(Refusal::new(414, "a long target"));
    }
    let authority = check(method, target)?;
    let block = match before {
        // Their Host was checked when they were read.
        Some(block) if block.begins(&bytes[line.len..]) => block,
        _ => {
            let mut block = fields::read(bytes, line.len, kept, limits.max_headers)?;
            block.said.is_host_bad = block.said.host.is_some_and(|host| !is_authority(host));
            before.insert(block)
        }
    };
    let (said, len) = (block.said, line.len + block.len());
    if said.chunked && version == Version::Http10 {
        return Err(bad("a transfer encoding in HTTP/1.0"));
    }
    let host = match said.host {
        Some(_) if said.is_host_bad => return Err(bad("a bad Host")),
        Some(host) => host,
        None if version == Version::Http11 && limits.require_host => return Err(bad("no Host")),
        None => b"",
    };
    if method == "CONNECT" && !host.is_empty() && !is_same(target.as_bytes(), host) {
        return Err(bad("a Host that is not the target"));
    }
    let keep_alive = match version {
        Version::Http11 => !said.close,
        Version::Http10 => said.keep_alive && !said.close,
    };
    let head = RequestHead {
        method,
        target,
        version,
        fields: block.list(kept),
        host: authority.map_or(host, str::as_bytes),
        framing: match said.chunked {
            true => Framing::Chunked,
            false => Framing::Length(said.length.unwrap_or(0)),
        },
        keep_alive,
        expect: if version == Version::Http11 { said.expect } else { Expect::Nothing },
        upgrade: said.upgrade && said.upgrades && version == Version::Http11,
    };
    Ok((head, len))
}

/// What a request begins with.
struct Line<'b> {
    method: &'b str,
    target: &'b str,
    version: Version,
    len: usize,
}

#[inline]
fn line(bytes: &[u8]) -> Result<Line<'_>, Refusal> {
    let (method, from) = match bytes {
        [b'G', b'E', b'T', b' ', ..] => ("GET", 4),
        [b'P', b'O', b'S', b'T', b' ', ..] => ("POST", 5),
        _ => method(bytes)?,
    };
    let to = end_of_target(bytes, from);
    let target = text(&bytes[from..to]);
    if target.is_empty() {
        return Err(bad("a bad start line"));
    }
    let rest = &bytes[to..];
    let version = match rest.strip_prefix(b" HTTP/1.") {
        Some([b'1', b'\r', b'\n', ..]) => Version::Http11,
        Some([b'0', b'\r', b'\n', ..]) => Version::Http10,
        _ if rest.starts_with(b" ") => return Err(another_version(bytes)),
        _ => return Err(bad("a bad character in the target")),
    };
    let len = to + b" HTTP/1.1\r\n".len();
    Ok(Line { method, target, version, len })
}

/// These bytes, which are ASCII, as text.
#[inline]
fn text(bytes: &[u8]) -> &str {
    match bytes.len() {
        // `from_utf8` is made for long ones.
        ..32 => bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid()),
        _ => std::str::from_utf8(bytes).unwrap_or_default(),
    }
}

/// The method, and where the target begins.
#[cold]
fn method(bytes: &[u8]) -> Result<(&str, usize), Refusal> {
    let end = end_in(bytes, 0, &TOKEN);
    match std::str::from_utf8(&bytes[..end]) {
        Ok(method) if !method.is_empty() && bytes.get(end) == Some(&b' ') => Ok((method, end + 1)),
        _ => Err(bad("a bad start line")),
    }
}

/// The start line has a version that is not ours, or none.
#[cold]
fn another_version(bytes: &[u8]) -> Refusal {
    let line = &bytes[..memchr(b'\r', bytes).unwrap_or(bytes.len())];
    match line {
        [.., b'/', b'1', b'.', b'0' | b'1'] => bad("a bad end of a line"),
        [.., b' ', b'H', b'T', b'T', b'P', b'/', a, b'.', b]
            if a.is_ascii_digit()
                && b.is_ascii_digit()
                && line.iter().filter(|b| **b == b' ').count() == 2 =>
        {
            Refusal::new(505, "another version of HTTP")
        }
        _ => bad("a bad version"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Heads, most of them with something wrong.
    fn heads() -> impl Strategy<Value = Vec<u8>> {
        let start = proptest::sample::select(vec![
            "GET / HTTP/1.1",
            "POST /tide?high#low HTTP/1.0",
            "M-SEARCH * HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET http://a:80/\u{e9} HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET / HTTP/2.0",
            "CONNECT a:1 HTTP/1.1",
        ]);
        let field = proptest::sample::select(vec![
            "Host: a.b-c:80",
            "hOST:\t[::1]:8080 \t ",
            "X: \u{e9}\t high  tide ",
            "X-Tide:",
            " folded",
            "Bad Name: 1",
            "Connection: close",
            ": 1",
            "X",
        ]);
        let end = proptest::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r", ""]);
        let lines = proptest::collection::vec((field, end.clone()), 0..20);
        let change = proptest::option::of((any::<usize>(), any::<u8>()));
        (start, end, lines, change).prop_map(|(start, end, lines, change)| {
            let mut head = format!("{start}{end}").into_bytes();
            for (field, end) in lines {
                head.extend_from_slice(format!("{field}{end}").as_bytes());
            }
            if let Some((at, byte)) = change {
                let at = at % head.len();
                head[at] = byte;
            }
            head.extend_from_slice(b"\r\nGET /next HTTP/1.1\r\n\r\n");
            head
        })
    }

    #[test]
    fn all_fields_are_found_however_many_there_are() {
        for count in [0, 1, 15, 16, 17, 40] {
            let lines: String = (0..count).map(|n| format!("X-{n}: {n}\r\n")).collect();
            let head = format!("GET / HTTP/1.0\r\n{lines}\r\n");
            let mut kept = Fields::new();
            let parsed = parse(head.as_bytes(), &mut kept, &mut None, &Limits::default());
            let (head, len) = parsed.map_or((None, 0), |(head, len)| (Some(head.fields), len));
            let fields = head.expect("it is valid");
            assert_eq!((fields.len(), fields.is_empty()), (count, count == 0));
            assert_eq!(len, lines.len() + 18);
            for (n, (name, value)) in fields.iter().enumerate() {
                assert_eq!((name, value), (&*format!("X-{n}"), n.to_string().as_bytes()));
                assert_eq!(fields.get(&name.to_lowercase()), Some(value));
            }
        }
    }

    const MANY: &str = "Host: a\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\n\
        X: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\nX: 1\r\n";

    /// Requests in one piece, of which some have the same fields as the one before, or more.
    fn pipelined() -> impl Strategy<Value = Vec<u8>> {
        let target = proptest::sample::select(vec!["/", "/tide", "*", "http://b/", "a:1"]);
        let start = proptest::sample::select(vec!["GET", "CONNECT", "OPTIONS"]);
        let version = proptest::sample::select(vec!["1.1", "1.1", "1.0"]);
        let fields = proptest::sample::select(vec![
            "",
            "Host: a\r\n",
            "Host: a\r\nX: 1\r\n",
            "Host: a\r\nX: 1\r\nX: 2\r\nConnection: close\r\n",
            "Host: a b\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\n",
            // More than the places that are kept.
            MANY,
        ]);
        let one = (start, target, version, fields).prop_map(|(start, target, version, fields)| {
            format!("{start} {target} HTTP/{version}\r\n{fields}\r\n")
        });
        proptest::collection::vec((one, 1..4usize), 1..8).prop_map(|all| {
            all.into_iter().flat_map(|(one, times)| one.repeat(times).into_bytes()).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_request_before_changes_nothing(bytes in pipelined()) {
            let limits = Limits { require_host: false, ..Default::default() };
            let (mut at, mut kept, mut before) = (0, Fields::new(), None);
            while at < bytes.len() {
                let mut fields = Fields::new();
                let alone = parse(&bytes[at..], &mut fields, &mut None, &limits);
                let alone = alone.map(|(head, len)| (format!("{head:?}"), len));
                let behind = parse(&bytes[at..], &mut kept, &mut before, &limits);
                let behind = behind.map(|(head, len)| (format!("{head:?}"), len));
                prop_assert_eq!(&alone, &behind);
                let Ok((_, len)) = alone else { break };
                at += len;
            }
        }

        /// What is accepted httparse accepts, and reads in the same way. What it accepts, and is not
        /// accepted, has a line without CR or a target that is not visible ASCII without `#`.
        #[test]
        fn heads_are_read_as_httparse_reads_them(head in heads()) {
            let mut kept = Fields::new();
            let ours = line(&head).and_then(|line| {
                let block = fields::read(&head, line.len, &mut kept, 100)?;
                Ok((line.len + block.len(), line, block))
            });
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut theirs = httparse::Request::new(&mut headers);
            let parsed = theirs.parse(&head);
            match (ours, parsed) {
                (Ok((len, line, block)), parsed) => {
                    prop_assert_eq!(parsed, Ok(httparse::Status::Complete(len)));
                    prop_assert_eq!((Some(line.method), Some(line.target)), (theirs.method, theirs.path));
                    prop_assert_eq!(theirs.version, Some(u8::from(line.version == Version::Http11)));
                    let theirs: Vec<_> = theirs.headers.iter().map(|h| (h.name, h.value)).collect();
                    prop_assert_eq!(block.list(&kept).iter().collect::<Vec<_>>(), theirs);
                }
                (Err(_), Ok(httparse::Status::Complete(n))) => {
                    let lines = head[..n].split_inclusive(|b| *b == b'\n');
                    let target = theirs.path.unwrap_or_default().as_bytes();
                    let is_known = lines.into_iter().any(|l| !l.ends_with(b"\r\n"))
                        || target.iter().any(|b| !b.is_ascii_graphic() || *b == b'#')
                        // Two of them, or one that is not valid.
                        || theirs.headers.iter().any(|h| h.name.eq_ignore_ascii_case("host"));
                    prop_assert!(is_known);
                }
                (Err(_), _) => {}
            }
        }
    }
}
