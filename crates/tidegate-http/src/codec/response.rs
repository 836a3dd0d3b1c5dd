//! [`ResponseHead`]: the head of a response, checked.
#![forbid(unsafe_code)]

use crate::codec::fields::{FieldList, Fields, MOST, refused};
use crate::codec::framing::{Framing, read};
use crate::message::limits::Limits;
use crate::message::refusal::Refusal;
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
    fields: &'b mut Fields<'b>,
    limits: &Limits,
    asked: Asked,
) -> Result<ResponseHead<'b>, Refusal> {
    let bad = |what| Refusal::new(502, what);
    let mut response = httparse::Response::new(&mut []);
    let slots = &mut fields.0[..(limits.max_headers as usize).min(MOST)];
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        slots,
    );
    match parsed {
        Ok(httparse::Status::Complete(n)) if n == bytes.len() => {}
        Ok(_) => return Err(bad("a bad head")),
        Err(e) => return Err(bad(refused(e).what())),
    }
    let status = response.code.unwrap_or(0);
    if status < 100 {
        return Err(bad("a bad status"));
    }
    let version = match response.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let headers: &'b [httparse::Header<'b>] = response.headers;
    let said = read(headers).map_err(|r| bad(r.what()))?;
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
        reason: response.reason.unwrap_or_default(),
        version,
        fields: FieldList::parsed(headers),
        framing,
        keep_alive: keep_alive && framing != Framing::UntilEnd && !upgrade,
        upgrade,
    })
}
