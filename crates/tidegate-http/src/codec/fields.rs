//! The fields of a head or of trailers: where they are in the bytes, and their syntax.
//!
//! What single fields mean is in `framing.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::mem::MaybeUninit;

use httparse::Header;
use memchr::{memchr, memchr_iter};

use crate::message::refusal::{Refusal, bad};

/// The most fields that any limit allows.
pub(super) const MOST: usize = 128;

/// Memory for the fields of one head, to be lent to a decoder. It is small, and making it costs
/// nothing: make a new one for each call.
///
/// ```
/// let mut fields = tidegate_http::codec::Fields::new();
/// # let _ = &mut fields;
/// ```
pub struct Fields<'b>(pub(super) [MaybeUninit<Header<'b>>; MOST]);

impl Fields<'_> {
    /// For up to 128 fields.
    #[inline]
    pub const fn new() -> Self {
        Fields([const { MaybeUninit::uninit() }; MOST])
    }
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Fields::new()
    }
}

impl fmt::Debug for Fields<'_> {
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
pub struct FieldList<'b>(pub(super) List<'b>);

#[derive(Clone, Copy)]
pub(super) enum List<'b> {
    Parsed(&'b [Header<'b>]),
    /// Of trailers, which were checked.
    Lines(&'b [u8]),
}

impl<'b> FieldList<'b> {
    pub(super) fn parsed(headers: &'b [Header<'b>]) -> FieldList<'b> {
        FieldList(List::Parsed(headers))
    }

    /// Every field.
    pub fn iter(&self) -> impl Iterator<Item = Field<'b>> + Clone + use<'b> {
        let (parsed, rest) = match self.0 {
            List::Parsed(headers) => (headers, &[][..]),
            List::Lines(bytes) => (&[][..], bytes),
        };
        parsed.iter().map(|h| (h.name, h.value)).chain(lines(rest).map(field))
    }

    /// The value of the first field with this name, in upper or lower case.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// The values of all fields with this name.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self.0 {
            List::Parsed(headers) => headers.len(),
            List::Lines(bytes) => lines(bytes).count(),
        }
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

/// What is wrong with fields that `httparse` refuses.
#[cold]
pub(super) fn refused(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::new(431, "too many fields"),
        httparse::Error::HeaderName => bad("a bad name of a field"),
        httparse::Error::HeaderValue => bad("a bad value of a field"),
        httparse::Error::NewLine => bad("a bad end of a line"),
        _ => bad("a bad start line"),
    }
}

/// Checks the fields behind a chunked body; `bytes` ends with the empty line.
pub(super) fn trailers(bytes: &[u8], most: usize) -> Result<FieldList<'_>, Refusal> {
    let list = FieldList(List::Lines(bytes));
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

fn field(line: &[u8]) -> Field<'_> {
    let colon = memchr(b':', line).unwrap_or(line.len());
    let name = std::str::from_utf8(&line[..colon]).unwrap_or_default();
    (name, trim(line.get(colon + 1..).unwrap_or_default()))
}

const fn table(extra: &[u8], from: u8, to: u8, without: &[u8]) -> [bool; 256] {
    let mut is = [false; 256];
    let mut b = from;
    while b < to {
        is[b as usize] = true;
        b += 1;
    }
    let mut i = 0;
    while i < extra.len() {
        is[extra[i] as usize] = true;
        i += 1;
    }
    let mut i = 0;
    while i < without.len() {
        is[without[i] as usize] = false;
        i += 1;
    }
    is
}

static TOKEN: [bool; 256] = table(b"", 0x21, 0x7f, b"\"(),/:;<=>?@[\\]{}");

/// Whether these bytes are a token: the name of a method or a field.
#[inline]
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all_in(&TOKEN, bytes)
}

/// Whether the table has all of these bytes: eight at a time, without a branch between them.
#[inline]
pub(super) fn all_in(table: &[bool; 256], bytes: &[u8]) -> bool {
    let fits = |b: &u8| table[usize::from(*b)];
    let mut chunks = bytes.chunks_exact(8);
    chunks.by_ref().all(|chunk| chunk.iter().fold(true, |all, b| all & fits(b)))
        && chunks.remainder().iter().fold(true, |all, b| all & fits(b))
}

static VALUE: [bool; 256] = table(b"\t\xff", 0x20, 0xff, b"\x7f");

/// Whether these bytes can be the value of a field: no control but HTAB.
#[inline]
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.split_at(bytes.len() / 8 * 8);
    let word = |c: &[u8]| c.iter().rev().fold(0, |w: u64, b| w << 8 | u64::from(*b));
    words.chunks_exact(8).all(|c| is_plain(word(c)) || all_in(&VALUE, c)) && all_in(&VALUE, rest)
}

/// Whether all eight bytes are visible ASCII or blanks.
#[inline]
fn is_plain(word: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // A byte below 0x20, from 0x80 on, or 0x7f sets the highest bit of one.
    let wrong = word.wrapping_sub(0x20 * EACH) | word | word.wrapping_add(EACH);
    wrong & (0x80 * EACH) == 0
}

/// The members of a list in a value, without the blanks around them; empty ones are left out.
pub(super) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|m| !m.is_empty())
}

/// Without blanks around it.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
