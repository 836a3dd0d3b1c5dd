//! [`ResponseHead`]: the head of a response, checked.
#![forbid(unsafe_code)]

use crate::codec::fields::{self, FieldList, Fields};
use crate::codec::framing::Framing;
use crate::message::limits::Limits;
use crate::message::refusal::Refusal;
use crate::message::syntax::end_of_value;
use crate::message::version::Version;

/// The head of a response. It borrows the bytes that it was read from.
///
/// ```
/// use tidegate_http::codec::{Event, Fields, Framing, Limits, ResponseDecoder};
/// let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
/// let mut fields = Fields::new();
/// let mut decoder = ResponseDecoder::new(Limits::default());
/// decoder.expect("GET");
/// let (_, Event::Head(head)) = decoder.next(bytes, &mut fields) else { unreachable!() };
/// assert_eq!((head.status, head.reason, head.framing), (200, "OK", Framing::Chunked));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseHead<'b> {
    /// The status: 100 to 999.
    pub status: u16,
    /// What the server calls it; may be empty.
    pub reason: &'b str,
    /// The version.
    pub version: Version,
    /// Every field.
    pub fields: FieldList<'b>,
    /// How long the body is.
    pub framing: Framing,
    /// Whether the server wants to go on with the connection.
    pub keep_alive: bool,
    /// Whether what follows is another protocol: 101, or 2xx to CONNECT.
    pub upgrade: bool,
}

impl ResponseHead<'_> {
    /// Whether the answer itself is still to come: 1xx, but not 101.
    pub fn is_informational(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Head,
    Connect,
    Other,
}

/// Parses a head; `bytes` ends with the empty line.
pub(super) fn parse<'b>(
    bytes: &'b [u8],
    fields: &'b mut Fields,
    limits: &Limits,
    asked: Asked,
) -> Result<ResponseHead<'b>, Refusal> {
    let bad = |what| Refusal::new(502, what);
    let (status, reason, version, len) = line(bytes).ok_or(bad("a bad start line"))?;
    if status < 100 {
        return Err(bad("a bad status"));
    }
    let block = fields::read(bytes, len, fields, limits.max_headers).map_err(|r| bad(r.what()))?;
    let said = block.said;
    if len + block.len() != bytes.len() {
        return Err(bad("a bad head"));
    }
    if said.chunked && version == Version::Http10 {
        return Err(bad("a transfer encoding in HTTP/1.0"));
    }
    // It has none, and some decoders read one all the same.
    if status < 200 && (said.chunked || said.length.is_some_and(|n| n > 0)) {
        return Err(bad("a body of an informational response"));
    }
    let upgrade = status == 101 || (asked == Asked::Connect && (200..300).contains(&status));
    let has_none = status < 200 || matches!(status, 204 | 304) || asked == Asked::Head || upgrade;
    let framing = match (has_none, said.chunked, said.length) {
        (true, _, _) => Framing::Length(0),
        (_, true, _) => Framing::Chunked,
        (_, _, Some(length)) => Framing::Length(length),
        _ => Framing::UntilEnd,
    };
    let keep_alive = match version {
        Version::Http11 => !said.close,
        Version::Http10 => said.keep_alive && !said.close,
    };
    Ok(ResponseHead {
        status,
        reason,
        version,
        fields: block.list(fields),
        framing,
        keep_alive: keep_alive && framing != Framing::UntilEnd && !upgrade,
        upgrade,
    })
}

/// The status, what the server calls it, the version; and where the fields begin.
fn line(bytes: &[u8]) -> Option<(u16, &str, Version, usize)> {
    let (version, rest) = match bytes {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', rest @ ..] => {
            (Version::Http11, rest)
        }
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', rest @ ..] => {
            (Version::Http10, rest)
        }
        _ => return None,
    };
    let digits = rest.first_chunk::<3>().filter(|d| d.iter().all(u8::is_ascii_digit))?;
    let status = digits.iter().fold(0, |all, d| all * 10 + u16::from(d - b'0'));
    // Some leave out the blank behind the status, too, if there is no reason.
    let from = match rest.get(3)? {
        b' ' => 13,
        _ => 12,
    };
    let to = if from == 13 { end_of_value(bytes, from) } else { from };
    bytes.get(to..)?.strip_prefix(b"\r\n")?;
    let reason = Some(&bytes[from..to]).filter(|r| r.is_ascii()).unwrap_or_default();
    Some((status, std::str::from_utf8(reason).ok()?, version, to + 2))
}
