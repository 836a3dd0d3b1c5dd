//! [`RequestHead`]: the head of a request, checked.
#![forbid(unsafe_code)]

use memchr::memchr;

use crate::codec::fields::{FieldList, Fields, MOST, refused};
use crate::codec::framing::{Expect, Framing, read};
use crate::codec::target::{check, is_authority, is_same};
use crate::message::limits::Limits;
use crate::message::refusal::{Refusal, bad};
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
/// head or a later one.
pub(super) fn parse<'b>(
    bytes: &'b [u8],
    fields: &'b mut Fields<'b>,
    limits: &Limits,
) -> Result<(RequestHead<'b>, usize), Refusal> {
    let mut request = httparse::Request::new(&mut []);
    let slots = &mut fields.0[..(limits.max_headers as usize).min(MOST)];
    let len = match request.parse_with_uninit_headers(bytes, slots) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(_) => return Err(bad("a bad head")),
        Err(e) => return Err(wrong(bytes, e)),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(bad("a bad start line"));
    };
    let version = match request.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    if method.len() > 32 {
        return Err(bad("a long method"));
    }
    if target.len() > limits.max_target as usize {
        return Err(Refusal::new(414, "a long target"));
    }
    let authority = check(method, target)?;
    let headers: &'b [httparse::Header<'b>] = request.headers;
    if !has_strict_lines(&bytes[..len], headers) {
        return Err(bad("a line without CR"));
    }
    let said = read(headers)?;
    if said.chunked && version == Version::Http10 {
        return Err(bad("a transfer encoding in HTTP/1.0"));
    }
    let host = match said.host {
        Some(host) if !is_authority(host) => return Err(bad("a bad Host")),
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
        fields: FieldList::parsed(headers),
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

/// Whether the lines of a head end with CR LF: httparse takes LF alone, too. Its fields begin behind
/// the ends of lines, so that no line is searched.
fn has_strict_lines(head: &[u8], headers: &[httparse::Header<'_>]) -> bool {
    let begin = head.as_ptr() as usize;
    let follows_line = |h: &httparse::Header<'_>| {
        let at = (h.name.as_ptr() as usize).wrapping_sub(begin);
        head.get(..at).is_some_and(|before| before.ends_with(b"\r\n"))
    };
    head.ends_with(b"\r\n\r\n") && headers.iter().all(follows_line)
}

/// Why the head that these bytes begin with is refused, if its lines end as they must.
#[cold]
fn wrong(bytes: &[u8], error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::Version => version(bytes),
        error => refused(error),
    }
}

/// The start line has a version that is not ours, or none.
#[cold]
fn version(bytes: &[u8]) -> Refusal {
    let line = &bytes[..memchr(b'\r', bytes).unwrap_or(bytes.len())];
    match line {
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
