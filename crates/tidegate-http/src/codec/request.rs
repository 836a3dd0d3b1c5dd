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
/// assert_eq!((head.method, head.host, head.framing), ("PUT", "tide", Framing::Length(3)));
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
    /// The target's authority; without one the value of `Host`; empty if there is none.
    pub host: &'b str,
    /// How long the body is.
    pub framing: Framing,
    /// Whether the client wants to go on with the connection.
    pub keep_alive: bool,
    /// What it waits for before it sends the body.
    pub expect: Expect,
    /// Whether it asks for another protocol: `Upgrade`, named in `Connection`.
    pub upgrade: bool,
}

impl RequestHead<'_> {
    /// Whether the method is HEAD: the answer has no body.
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether the method is CONNECT: a tunnel is wanted.
    pub fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }
}

/// Parses a head; `bytes` ends with the empty line.
pub(super) fn parse<'b>(
    bytes: &'b [u8],
    fields: &'b mut Fields<'b>,
    limits: &Limits,
) -> Result<RequestHead<'b>, Refusal> {
    let mut request = httparse::Request::new(&mut []);
    let slots = &mut fields.0[..(limits.max_headers as usize).min(MOST)];
    match request.parse_with_uninit_headers(bytes, slots) {
        Ok(httparse::Status::Complete(n)) if n == bytes.len() => {}
        Ok(_) => return Err(bad("a bad head")),
        Err(httparse::Error::Version) => return Err(version(bytes)),
        Err(e) => return Err(refused(e)),
    }
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
    let said = read(headers)?;
    if said.chunked && version == Version::Http10 {
        return Err(bad("a transfer encoding in HTTP/1.0"));
    }
    let host = match said.host {
        Some(host) if !is_authority(host) => return Err(bad("a bad Host")),
        Some(host) => std::str::from_utf8(host).unwrap_or_default(),
        None if version == Version::Http11 && limits.require_host => return Err(bad("no Host")),
        None => "",
    };
    if method == "CONNECT" && !host.is_empty() && !is_same(target.as_bytes(), host.as_bytes()) {
        return Err(bad("a Host that is not the target"));
    }
    let keep_alive = match version {
        Version::Http11 => !said.close,
        Version::Http10 => said.keep_alive && !said.close,
    };
    Ok(RequestHead {
        method,
        target,
        version,
        fields: FieldList::parsed(headers),
        host: authority.unwrap_or(host),
        framing: match said.chunked {
            true => Framing::Chunked,
            false => Framing::Length(said.length.unwrap_or(0)),
        },
        keep_alive,
        expect: if version == Version::Http11 { said.expect } else { Expect::Nothing },
        upgrade: said.upgrade && said.upgrades && version == Version::Http11,
    })
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
