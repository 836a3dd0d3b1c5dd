//! The fields of a head or of trailers: where they are in the bytes, and their syntax.
//!
//! What single fields mean is in `framing.rs`; which bytes they have, in `message/syntax.rs`.
#![forbid(unsafe_code)]

use std::fmt;

use memchr::{memchr, memchr_iter};

use crate::codec::framing::Said;
use crate::message::refusal::{Refusal, bad};
use crate::message::syntax::{TOKEN, end_in, end_of_value, is_token, is_value, trim};

/// The most fields that any limit allows.
const MOST: usize = 128;

/// This many fields of a head are kept. Those behind them are looked for again when they are asked
/// for.
const KEPT: usize = 16;

/// Where a field is: its name, and its value without the blanks around it.
#[derive(Clone, Copy)]
struct Place {
    at: u32,
    colon: u32,
    from: u32,
    to: u32,
}

/// Memory for the fields of one head, to be lent to a decoder. It is small, and can be lent again.
///
/// ```
/// let mut fields = tidegate_http::codec::Fields::new();
/// # let _ = &mut fields;
/// ```
pub struct Fields([Place; KEPT]);

impl Fields {
    /// For any head.
    #[inline]
    pub const fn new() -> Self {
        Fields([Place { at: 0, colon: 0, from: 0, to: 0 }; KEPT])
    }
}

impl Default for Fields {
    fn default() -> Self {
        Fields::new()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields")
    }
}

/// A field: its name as it came, and its value without the blanks around it.
pub type Field<'b> = (&'b str, &'b [u8]);

/// The fields of a head in the order in which they came.
///
/// ```
/// use tidegate_http::codec::{Event, Fields, Limits, RequestDecoder};
/// let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX-Tide: high\r\nx-tide: low\r\n\r\n";
/// let mut fields = Fields::new();
/// let mut decoder = RequestDecoder::new(Limits::default());
/// let (_, Event::Head(head)) = decoder.next(bytes, &mut fields) else { unreachable!() };
/// assert_eq!(head.fields.get("x-tide"), Some(&b"high"[..]));
/// assert_eq!(head.fields.all("X-TIDE").count(), 2);
/// assert_eq!(head.fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["Host", "X-Tide", "x-tide"]);
/// ```
#[derive(Clone, Copy)]
pub struct FieldList<'b> {
    bytes: &'b [u8],
    kept: &'b [Place],
    /// Where those begin that are not kept.
    rest: usize,
}

/// A name and a value, which were checked.
type Found<'b> = (&'b [u8], &'b [u8]);

impl<'b> FieldList<'b> {
    fn found(&self) -> impl Iterator<Item = Found<'b>> + Clone + use<'b> {
        let bytes = self.bytes;
        let part = move |from: u32, to: u32| &bytes[from as usize..to as usize];
        let kept = self.kept.iter().map(move |p| (part(p.at, p.colon), part(p.from, p.to)));
        kept.chain(lines(&bytes[self.rest..]).map(split))
    }

    /// Every field.
    pub fn iter(&self) -> impl Iterator<Item = Field<'b>> + Clone + use<'b> {
        // Names were checked, and are ASCII.
        self.found().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// The value of the first field with this name, in upper or lower case.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// The values of all fields with this name.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        let is = move |(n, _): &Found<'b>| n.eq_ignore_ascii_case(name.as_bytes());
        self.found().filter(is).map(|(_, value)| value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len() + lines(&self.bytes[self.rest..]).count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for FieldList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value| String::from_utf8_lossy(value).into_owned();
        f.debug_map().entries(self.iter().map(|(name, value)| (name, text(value)))).finish()
    }
}

/// The fields of a head, as they were read: where they are, and what they say of the message.
pub(crate) struct Block<'b> {
    bytes: &'b [u8],
    /// From the first of them to the end of the head.
    text: &'b [u8],
    /// How many places were kept.
    kept: usize,
    rest: usize,
    pub(super) said: Said<'b>,
}

impl<'b> Block<'b> {
    /// Whether these bytes begin with the same fields.
    #[inline]
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(self.text)
    }

    /// How long they are, with the empty line.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The fields. `kept` is the memory that was lent to read them.
    #[inline]
    pub(super) fn list<'f>(&self, kept: &'f Fields) -> FieldList<'f>
    where
        'b: 'f,
    {
        FieldList { bytes: self.bytes, kept: &kept.0[..self.kept], rest: self.rest }
    }
}

/// Reads the fields of a head that begin at `from`, and what they say of the message. An error, too,
/// if the bytes end before the empty line.
#[inline]
pub(super) fn read<'b>(
    bytes: &'b [u8],
    from: usize,
    kept: &mut Fields,
    most: u32,
) -> Result<Block<'b>, Refusal> {
    let most = (most as usize).min(MOST);
    let (mut at, mut count, mut rest) = (from, 0, from);
    let (first, mut said) = (from, Said::default());
    while bytes.get(at) != Some(&b'\r') {
        if count == most {
            return Err(Refusal::new(431, "too many fields"));
        }
        let colon = end_in(bytes, at, &TOKEN);
        if colon == at || bytes.get(colon) != Some(&b':') {
            return Err(bad("a bad name of a field"));
        }
        let (from, mut to) = (after_blanks(bytes, colon + 1), end_of_value(bytes, colon + 1));
        let end = to;
        while to > from && matches!(bytes[to - 1], b' ' | b'\t') {
            to -= 1;
        }
        if !bytes[end..].starts_with(b"\r\n") {
            return Err(bad("a bad value of a field"));
        }
        said.add(&bytes[at..colon], &bytes[from..to])?;
        if let Some(place) = kept.0.get_mut(count) {
            let [at, colon, from, to] = [at, colon, from, to].map(|n| n as u32);
            *place = Place { at, colon, from, to };
            rest = end + 2;
        }
        at = end + 2;
        count += 1;
    }
    if bytes.get(at + 1) != Some(&b'\n') {
        return Err(bad("a bad end of a line"));
    }
    let (text, kept) = (&bytes[first..at + 2], count.min(KEPT));
    Ok(Block { bytes: &bytes[..at], text, kept, rest, said })
}

/// Where the first byte is, from `at` on, that is no blank.
#[inline]
fn after_blanks(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// Looks for the empty line that ends a head or trailers: from `seen` on, which was looked at
/// before. Returns the length with that line, once it is there. Each line must end with CR LF.
pub(super) fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Refusal> {
    for at in memchr_iter(b'\n', &bytes[seen..]) {
        let at = seen + at;
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(bad("a line without CR"));
        }
        if at == 1 || bytes[at - 2] == b'\n' {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// Joins the lines of folded fields, in place: an old form, in which a line that begins with a blank
/// goes on with the field before it. `bytes` begin with a head, or with a part of one; only that is
/// changed. The decoders refuse such heads without it.
///
/// ```
/// use tidegate_http::codec::join_folded;
/// let mut head = *b"HTTP/1.1 200 OK\r\nX-Tide: high\r\n  and low\r\n\r\nbody\r\n .";
/// join_folded(&mut head);
/// assert_eq!(&head, b"HTTP/1.1 200 OK\r\nX-Tide: high    and low\r\n\r\nbody\r\n .");
/// ```
pub fn join_folded(bytes: &mut [u8]) {
    let (mut line, mut pos, mut lines) = (0, 0, 0);
    while let Some(end) = memchr(b'\n', &bytes[pos..]).map(|n| pos + n) {
        let is_empty = end == line + 1 && bytes[line] == b'\r';
        if is_empty && lines > 0 {
            return;
        }
        let ends_well = end > line && bytes[end - 1] == b'\r';
        // Not the start line, and not what stands in front of the first field.
        let is_field = lines > 0 && !matches!(bytes[line], b' ' | b'\t');
        match bytes.get(end + 1) {
            None => return,
            Some(b' ' | b'\t') if is_field && ends_well => bytes[end - 1..=end].fill(b' '),
            Some(_) => {
                lines += usize::from(!is_empty);
                line = end + 1;
            }
        }
        pos = end + 1;
    }
}

/// Checks the fields behind a chunked body; `bytes` ends with the empty line.
pub(super) fn trailers(bytes: &[u8], most: usize) -> Result<FieldList<'_>, Refusal> {
    let list = FieldList { bytes, kept: &[], rest: 0 };
    let mut count = 0;
    for line in lines(bytes) {
        count += 1;
        if count > most.min(MOST) {
            return Err(Refusal::new(431, "too many fields"));
        }
        let Some(colon) = memchr(b':', line) else { return Err(bad("a field without a colon")) };
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if !is_token(name) {
            return Err(bad("a bad name of a field"));
        }
        if !is_value(value) {
            return Err(bad("a bad value of a field"));
        }
        if is_for_heads(name) {
            return Err(bad("a field that may not be in trailers"));
        }
    }
    Ok(list)
}

/// They frame, route or authorise a message, which is too late behind it.
const NOT_IN_TRAILERS: [&[u8]; 18] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"keep-alive",
    b"max-forwards",
    b"proxy-authorization",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// Whether a field with this name may not be in trailers.
pub(super) fn is_for_heads(name: &[u8]) -> bool {
    NOT_IN_TRAILERS.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// The lines of fields, without the empty one at the end.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    bytes
        .split(|b| *b == b'\n')
        .map(|l| l.strip_suffix(b"\r").unwrap_or(l))
        .filter(|l| !l.is_empty())
}

fn split(line: &[u8]) -> Found<'_> {
    let colon = memchr(b':', line).unwrap_or(line.len());
    (&line[..colon], trim(line.get(colon + 1..).unwrap_or_default()))
}
