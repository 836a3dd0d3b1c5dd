//! [`Encoder`]: messages as bytes. The head decides how the body is framed; later calls are checked
//! against that.
//!
//! | state | call | next |
//! |---|---|---|
//! | Start | `response`, `request` | Length, Chunked, UntilEnd, Dropped |
//! | Start | `begin_known` | Length |
//! | Start | `informational` | Start |
//! | Start | `switch` | Start; the connection belongs to another protocol |
//! | any of these | `data` | the same |
//! | any of these | `end` | Start |
#![forbid(unsafe_code)]

use crate::codec::fields::{Field, is_for_heads};
use crate::codec::frame::Frame;
use crate::codec::framing::length;
use crate::codec::request::RequestHead;
use crate::message::encode_error::EncodeError;
use crate::message::status;
use crate::message::syntax::{is_token, is_value, members};
use crate::message::version::Version;

/// The parts of a request that decide how its response is framed.
///
/// ```
/// use tidegate_http::codec::{Answering, Version};
/// let old = Answering { version: Version::Http10, ..Default::default() };
/// assert!(old.keep_alive && !old.head);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answering {
    /// Its version. HTTP/1.0 knows no chunks.
    pub version: Version,
    /// It is a HEAD: the response has no body.
    pub head: bool,
    /// The connection is to go on after the response.
    pub keep_alive: bool,
    /// If it goes on, tell the client for how many seconds it is kept (`Keep-Alive: timeout=`);
    /// 0: do not.
    pub hint: u64,
}

impl Default for Answering {
    fn default() -> Answering {
        Answering { version: Version::Http11, head: false, keep_alive: true, hint: 0 }
    }
}

impl From<&RequestHead<'_>> for Answering {
    fn from(head: &RequestHead<'_>) -> Answering {
        let (version, keep_alive) = (head.version, head.keep_alive);
        Answering { version, head: head.is_head(), keep_alive, hint: 0 }
    }
}

/// How long a body will be.
///
/// ```
/// assert_ne!(tidegate_http::codec::Length::Known(0), tidegate_http::codec::Length::Unknown);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// This many bytes.
    Known(u64),
    /// The body is sent in chunks; to a client of HTTP/1.0 until the end of the connection.
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Start,
    /// This many bytes are to come.
    Length(u64),
    Chunked,
    UntilEnd,
    /// The body of an answer to a HEAD, which is not sent.
    Dropped,
    /// A message without a body.
    Empty,
}

/// Writes messages. It keeps the framing of the current body, and no bytes.
///
/// ```
/// use tidegate_http::codec::{Answering, Encoder, Length};
/// let mut out = Vec::new();
/// let mut encoder = Encoder::new();
/// let fields = [("content-type", &b"text/plain"[..])];
/// let goes_on = encoder.response(&mut out, Answering::default(), 200, Length::Unknown, None, fields)?;
/// encoder.body(&mut out, b"high tide")?;
/// encoder.end(&mut out, [])?;
/// assert!(goes_on);
/// let text = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n\
///     9\r\nhigh tide\r\n0\r\n\r\n";
/// assert_eq!(String::from_utf8(out).unwrap(), text);
/// # Ok::<(), tidegate_http::codec::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    state: State,
}

/// What a user's fields say about the message.
#[derive(Default)]
struct Given {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    date: bool,
    host: bool,
}

impl Encoder {
    /// At the beginning of a connection.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// Whether a message has begun and is not over.
    pub fn is_in_message(&self) -> bool {
        self.state != State::Start
    }

    /// Writes the head of a response. Adds the fields that frame it, `Date` if it is given and not
    /// among the fields, and `Connection` where it is needed. Returns whether the connection goes on
    /// after it.
    pub fn response<'f>(
        &mut self,
        out: &mut Vec<u8>,
        to: Answering,
        status: u16,
        body: Length,
        date: Option<&[u8]>,
        fields: impl IntoIterator<Item = Field<'f>>,
    ) -> Result<bool, EncodeError> {
        if self.state != State::Start {
            return Err(EncodeError::Order);
        }
        if !(200..1000).contains(&status) {
            return Err(EncodeError::Status);
        }
        let from = out.len();
        status::line(out, status);
        let written = write_fields(out, fields).and_then(|given| {
            let state = framed(to, status, body, &given)?;
            Ok((given, state))
        });
        let (given, (state, announced)) = match written {
            Ok(written) => written,
            Err(e) => {
                out.truncate(from);
                return Err(e);
            }
        };
        match announced {
            Announced::Nothing => {}
            Announced::Length(n) => write_number(out, b"Content-Length: ", n),
            Announced::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        if let Some(date) = date.filter(|_| !given.date) {
            write_date(out, date);
        }
        let goes_on = to.keep_alive && !given.close && state != State::UntilEnd;
        match (goes_on, to.version) {
            (false, _) if !given.close => out.extend_from_slice(b"Connection: close\r\n"),
            (true, version) if version == Version::Http10 || to.hint > 0 => {
                out.extend_from_slice(b"Connection: keep-alive\r\n");
            }
            _ => {}
        }
        if goes_on && to.hint > 0 {
            write_number(out, b"Keep-Alive: timeout=", to.hint);
        }
        out.extend_from_slice(b"\r\n");
        self.state = state;
        Ok(goes_on)
    }

    /// For a head that is written elsewhere, and says that its body has this length.
    #[inline]
    pub(crate) fn begin_known(&mut self, length: u64) -> Result<(), EncodeError> {
        if self.state != State::Start {
            return Err(EncodeError::Order);
        }
        self.state = State::Length(length);
        Ok(())
    }

    /// Writes an informational response (1xx, but not 101). The answer is still to come.
    pub fn informational<'f>(
        &mut self,
        out: &mut Vec<u8>,
        status: u16,
        fields: impl IntoIterator<Item = Field<'f>>,
    ) -> Result<(), EncodeError> {
        match (status, self.state) {
            (101, _) => Err(EncodeError::Status),
            (100..200, State::Start) => plain(out, status, b"", fields),
            (_, State::Start) => Err(EncodeError::Status),
            _ => Err(EncodeError::Order),
        }
    }

    /// Writes the response after which the connection belongs to another protocol: 101, or 2xx to a
    /// CONNECT. It has no body. With 101 the fields name the protocol (`Upgrade`);
    /// `Connection: upgrade` is added.
    pub fn switch<'f>(
        &mut self,
        out: &mut Vec<u8>,
        status: u16,
        fields: impl IntoIterator<Item = Field<'f>>,
    ) -> Result<(), EncodeError> {
        match (status, self.state) {
            (101, State::Start) => plain(out, status, b"Connection: upgrade\r\n", fields),
            (200..300, State::Start) => plain(out, status, b"", fields),
            (_, State::Start) => Err(EncodeError::Status),
            _ => Err(EncodeError::Order),
        }
    }

    /// Writes the head of a request. Adds `Host`, unless the fields have it, and those that frame
    /// the body.
    ///
    /// ```
    /// use tidegate_http::codec::{Encoder, Length};
    /// let mut out = Vec::new();
    /// Encoder::new().request(&mut out, "GET", "/tide", "a:80", Length::Known(0), [])?;
    /// assert_eq!(out, b"GET /tide HTTP/1.1\r\nHost: a:80\r\n\r\n");
    /// # Ok::<(), tidegate_http::codec::EncodeError>(())
    /// ```
    pub fn request<'f>(
        &mut self,
        out: &mut Vec<u8>,
        method: &str,
        target: &str,
        host: &str,
        body: Length,
        fields: impl IntoIterator<Item = Field<'f>>,
    ) -> Result<(), EncodeError> {
        if self.state != State::Start {
            return Err(EncodeError::Order);
        }
        let is_target = !target.is_empty() && target.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if !is_token(method.as_bytes()) || !is_target {
            return Err(EncodeError::StartLine);
        }
        if !is_value(host.as_bytes()) {
            return Err(EncodeError::FieldValue);
        }
        let from = out.len();
        for part in [method, " ", target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        let at_host = out.len();
        let written = write_fields(out, fields).and_then(|given| {
            let (state, announced) = framed(Answering::default(), 200, body, &given)?;
            Ok((given, state, announced))
        });
        let (given, state, announced) = match written {
            Ok(written) => written,
            Err(e) => {
                out.truncate(from);
                return Err(e);
            }
        };
        if !given.host {
            let line = ["Host: ", host, "\r\n"].map(str::bytes).into_iter().flatten();
            out.splice(at_host..at_host, line);
        }
        let has_body =
            !matches!(method, "GET" | "HEAD" | "CONNECT" | "OPTIONS" | "TRACE" | "DELETE");
        match announced {
            Announced::Length(0) if !has_body && given.length.is_none() => {}
            Announced::Length(n) => write_number(out, b"Content-Length: ", n),
            Announced::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Announced::Nothing => {}
        }
        out.extend_from_slice(b"\r\n");
        self.state = state;
        Ok(())
    }

    /// What goes around the next `len` bytes of the body. They count as written.
    pub fn data(&mut self, len: usize) -> Result<Frame, EncodeError> {
        let all = len as u64;
        match &mut self.state {
            State::Start => return Err(EncodeError::Order),
            State::Empty if len > 0 => return Err(EncodeError::NoBody),
            State::Length(left) => {
                *left = left.checked_sub(all).ok_or(EncodeError::TooLong)?;
            }
            _ => {}
        }
        Ok(match self.state {
            _ if len == 0 => Frame::DROPPED,
            State::Chunked => Frame::chunk(len),
            State::Dropped => Frame::DROPPED,
            _ => Frame::PLAIN,
        })
    }

    /// Writes a part of the body.
    #[inline]
    pub fn body(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
        if let State::Length(left) = &mut self.state {
            // The ordinary one has nothing around it.
            *left = left.checked_sub(bytes.len() as u64).ok_or(EncodeError::TooLong)?;
            out.extend_from_slice(bytes);
            return Ok(());
        }
        let frame = self.data(bytes.len())?;
        if frame.is_sent() {
            out.extend_from_slice(frame.before());
            out.extend_from_slice(bytes);
            out.extend_from_slice(frame.after());
        }
        Ok(())
    }

    /// Ends the message. Trailers are for chunked bodies alone, and not for fields that frame, route
    /// or authorise a message. To a HEAD they are not sent.
    pub fn end<'f>(
        &mut self,
        out: &mut Vec<u8>,
        trailers: impl IntoIterator<Item = Field<'f>>,
    ) -> Result<(), EncodeError> {
        let from = out.len();
        let mut trailers = trailers.into_iter().peekable();
        match self.state {
            State::Start => return Err(EncodeError::Order),
            State::Length(1..) => return Err(EncodeError::TooShort),
            State::Dropped => {}
            State::Chunked => {
                out.extend_from_slice(b"0\r\n");
                for field in trailers {
                    let done = match is_for_heads(field.0.as_bytes()) {
                        true => Err(EncodeError::Trailers),
                        false => write_field(out, field),
                    };
                    if let Err(e) = done {
                        out.truncate(from);
                        return Err(e);
                    }
                }
                out.extend_from_slice(b"\r\n");
            }
            _ if trailers.peek().is_some() => return Err(EncodeError::Trailers),
            _ => {}
        }
        self.state = State::Start;
        Ok(())
    }
}

/// What is said of the body's length.
enum Announced {
    Nothing,
    Length(u64),
    Chunked,
}

/// How the body is framed.
fn framed(
    to: Answering,
    status: u16,
    body: Length,
    given: &Given,
) -> Result<(State, Announced), EncodeError> {
    let known = match (body, given.length) {
        (Length::Known(a), Some(b)) if a != b => return Err(EncodeError::Framing),
        (Length::Known(n), _) | (Length::Unknown, Some(n)) => Some(n),
        (Length::Unknown, None) => None,
    };
    if given.chunked && given.length.is_some() {
        return Err(EncodeError::Framing);
    }
    let known = known.filter(|_| !given.chunked);
    if matches!(status, 204 | 304) {
        let announced = given.length.filter(|_| status == 304);
        return Ok((State::Empty, announced.map_or(Announced::Nothing, Announced::Length)));
    }
    let announced = match (known, to.version) {
        (Some(n), _) => Announced::Length(n),
        (None, Version::Http11) => Announced::Chunked,
        (None, Version::Http10) => Announced::Nothing,
    };
    let state = match (known, &announced) {
        _ if to.head => State::Dropped,
        (Some(n), _) => State::Length(n),
        (None, Announced::Chunked) => State::Chunked,
        (None, _) => State::UntilEnd,
    };
    Ok((state, announced))
}

/// A head without a body.
fn plain<'f>(
    out: &mut Vec<u8>,
    status: u16,
    more: &[u8],
    fields: impl IntoIterator<Item = Field<'f>>,
) -> Result<(), EncodeError> {
    let from = out.len();
    status::line(out, status);
    match write_fields(out, fields) {
        Ok(given) if given.length.is_none() && !given.chunked => {
            out.extend_from_slice(more);
            out.extend_from_slice(b"\r\n");
            Ok(())
        }
        done => {
            out.truncate(from);
            Err(done.err().unwrap_or(EncodeError::Framing))
        }
    }
}

/// Writes the user's fields, but for those that frame the body.
fn write_fields<'f>(
    out: &mut Vec<u8>,
    fields: impl IntoIterator<Item = Field<'f>>,
) -> Result<Given, EncodeError> {
    let mut given = Given::default();
    for (name, value) in fields {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 => {
                given.date |= is("date");
                given.host |= is("host");
            }
            10 if is("connection") => {
                given.close |= members(value).any(|m| m.eq_ignore_ascii_case(b"close"));
            }
            14 if is("content-length") => {
                let length = length(value).ok_or(EncodeError::Framing)?;
                if given.length.replace(length).is_some() {
                    return Err(EncodeError::Framing);
                }
                continue;
            }
            17 if is("transfer-encoding") => {
                if given.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(EncodeError::Framing);
                }
                given.chunked = true;
                continue;
            }
            _ => {}
        }
        write_field(out, (name, value))?;
    }
    Ok(given)
}

#[inline]
fn write_field(out: &mut Vec<u8>, (name, value): Field<'_>) -> Result<(), EncodeError> {
    if !is_token(name.as_bytes()) {
        return Err(EncodeError::FieldName);
    }
    if !is_value(value) {
        return Err(EncodeError::FieldValue);
    }
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// A field whose value ends with a number; `name` has all that is before it.
#[inline]
fn write_number<const N: usize>(out: &mut Vec<u8>, name: &[u8; N], number: u64) {
    out.extend_from_slice(name);
    let digit = |of: u64| b'0' + (of % 10) as u8;
    match number {
        0..10 => out.extend_from_slice(&[digit(number), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[digit(number / 10), digit(number), b'\r', b'\n']),
        _ => write_large(out, number),
    }
}

fn write_large(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut from, mut left) = (*b"12345678901234567890\r\n", 20, number);
    loop {
        from -= 1;
        digits[from] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}

fn write_date(out: &mut Vec<u8>, date: &[u8]) {
    for part in [b"Date: ", date, b"\r\n"] {
        out.extend_from_slice(part);
    }
}
