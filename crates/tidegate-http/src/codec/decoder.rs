//! [`RequestDecoder`] and [`ResponseDecoder`]: a connection's bytes, message by message.
//!
//! | state | bytes | event | next |
//! |---|---|---|---|
//! | Start | CR LF, at most 8 times | | Start |
//! | Start | a head | `Head` | Body |
//! | Body | see `body.rs` | `Body`, `Trailers` | Body |
//! | Body | all of it was read | `End` | Start |
//! | any | what is refused | `Refused`, again and again | Refused |
#![forbid(unsafe_code)]

use memchr::memchr;

use crate::codec::body::{Body, Part};
use crate::codec::fields::{Block, FieldList, Fields, find_end};
use crate::codec::request::{self, RequestHead};
use crate::codec::response::{self, Asked, ResponseHead};
use crate::message::limits::Limits;
use crate::message::refusal::{Refusal, bad};

/// Empty lines before a message that are ignored.
const EMPTY_LINES: u8 = 8;

/// What a decoder found.
///
/// ```
/// use tidegate_http::codec::{Event, RequestHead};
/// fn is_over(event: &Event<'_, RequestHead<'_>>) -> bool {
///     matches!(event, Event::End | Event::Refused(_))
/// }
/// # let _ = is_over;
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Event<'b, H> {
    /// Nothing more without more bytes. Keep those that were not consumed, and call again with them
    /// and what comes behind them.
    More,
    /// A message begins.
    Head(H),
    /// A part of its body.
    Body(&'b [u8]),
    /// The fields behind a chunked body.
    Trailers(FieldList<'b>),
    /// The message is over. What was not consumed belongs to the next one, or to another protocol.
    End,
    /// The bytes are no valid message. Nothing after them is decoded.
    Refused(Refusal),
}

/// What both decoders do.
#[derive(Clone, Debug)]
struct Decoder {
    limits: Limits,
    state: State,
    empty_lines: u8,
    /// How much of the head was looked at.
    seen: usize,
}

#[derive(Clone, Debug)]
enum State {
    Start,
    Body(Body),
    Refused(Refusal),
}

impl Decoder {
    fn new(limits: Limits) -> Decoder {
        Decoder { limits, state: State::Start, empty_lines: 0, seen: 0 }
    }

    /// Whether these bytes begin with a head, and end with one, the same or a later one: then the end
    /// of the first need not be searched.
    #[inline]
    fn ends_with_head(&self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.limits.max_head as usize;
        fits && matches!(bytes, [0x21..=0x7e, .., b'\r', b'\n', b'\r', b'\n'])
    }

    /// Where a head begins, behind empty lines; and its end, if it is there.
    #[inline]
    fn find_head(&mut self, bytes: &[u8]) -> Result<(usize, Option<usize>), Refusal> {
        let mut at = 0;
        if let Some(b'\r' | b'\n') = bytes.first() {
            at = self.skip_empty_lines(bytes)?;
            if at == bytes.len() || bytes[at] == b'\r' {
                return Ok((at, None));
            }
        }
        let head = &bytes[at..];
        let within = &head[..head.len().min(self.limits.max_head as usize)];
        match find_end(within, self.seen)? {
            Some(n) => {
                (self.seen, self.empty_lines) = (0, 0);
                Ok((at, Some(at + n)))
            }
            None if within.len() == self.limits.max_head as usize => {
                Err(match memchr(b'\n', within) {
                    Some(_) => Refusal::new(431, "a long head"),
                    None => Refusal::new(414, "a long start line"),
                })
            }
            None => {
                // A head begins with its method, so that another line cannot be taken for its end.
                self.seen = head.len();
                Ok((at, None))
            }
        }
    }

    #[cold]
    fn skip_empty_lines(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        loop {
            match &bytes[at..] {
                [b'\r', b'\n', ..] if self.empty_lines < EMPTY_LINES => {
                    self.empty_lines += 1;
                    at += 2;
                }
                [b'\r', b'\n', ..] => return Err(bad("too many empty lines")),
                [b'\n', ..] => return Err(bad("a line without CR")),
                [b'\r', _, ..] => return Err(bad("a CR without LF")),
                // More is to come, and is looked at then.
                _ => return Ok(at),
            }
        }
    }

    fn body<'b, H>(&mut self, bytes: &'b [u8]) -> (usize, Event<'b, H>) {
        let State::Body(body) = &mut self.state else { return (0, Event::More) };
        match body.next(bytes, &self.limits) {
            Ok((n, Part::More)) => (n, Event::More),
            Ok((n, Part::Data(part))) => (n, Event::Body(part)),
            Ok((n, Part::Trailers(fields))) => (n, Event::Trailers(fields)),
            Ok((n, Part::End)) => {
                self.state = State::Start;
                (n, Event::End)
            }
            Err(why) => self.refuse(why),
        }
    }

    #[cold]
    fn refuse<H>(&mut self, why: Refusal) -> (usize, Event<'static, H>) {
        self.state = State::Refused(why);
        (0, Event::Refused(why))
    }

    fn eof(&mut self) -> Result<bool, Refusal> {
        match &mut self.state {
            State::Start => match self.seen {
                0 => Ok(false),
                _ => Err(bad("the end inside of a head")),
            },
            State::Body(body) => match body.eof() {
                true => Ok(true),
                false => Err(bad("the end inside of a body")),
            },
            State::Refused(why) => Err(*why),
        }
    }
}

/// Decodes the requests of a connection. It keeps no bytes and allocates nothing.
///
/// ```
/// use tidegate_http::codec::{Event, Fields, Limits, RequestDecoder};
/// let mut decoder = RequestDecoder::new(Limits::default());
/// // Half of a head: nothing is consumed.
/// let mut fields = Fields::new();
/// assert!(matches!(decoder.next(b"GET / HT", &mut fields), (0, Event::More)));
/// let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
/// let mut fields = Fields::new();
/// let (consumed, event) = decoder.next(bytes, &mut fields);
/// assert!(&bytes[consumed..] == b"GET" && matches!(event, Event::Head(_)));
/// # let mut fields = Fields::new();
/// assert!(matches!(decoder.next(&bytes[consumed..], &mut fields), (0, Event::End)));
/// ```
#[derive(Clone, Debug)]
pub struct RequestDecoder {
    decoder: Decoder,
}

impl RequestDecoder {
    /// At the beginning of a connection.
    pub fn new(limits: Limits) -> RequestDecoder {
        RequestDecoder { decoder: Decoder::new(limits) }
    }

    /// The next event, and how many bytes were consumed.
    pub fn next<'b>(
        &mut self,
        bytes: &'b [u8],
        fields: &'b mut Fields,
    ) -> (usize, Event<'b, RequestHead<'b>>) {
        self.next_of_many(bytes, fields, &mut None)
    }

    /// As [`next`](RequestDecoder::next), of several requests in the same bytes. Each call must get
    /// the same `fields` and `before`: `before` says where in `fields` the last head is.
    #[inline]
    pub(crate) fn next_of_many<'f, 'b: 'f>(
        &mut self,
        bytes: &'b [u8],
        fields: &'f mut Fields,
        before: &mut Option<Block<'b>>,
    ) -> (usize, Event<'f, RequestHead<'f>>) {
        let d = &mut self.decoder;
        match d.state {
            State::Body(_) => return d.body(bytes),
            State::Refused(why) => return (0, Event::Refused(why)),
            State::Start => {}
        }
        let (from, to) = if d.ends_with_head(bytes) {
            (0, bytes.len())
        } else {
            match d.find_head(bytes) {
                Ok((from, Some(to))) => (from, to),
                Ok((from, None)) => return (from, Event::More),
                Err(why) => return d.refuse(why),
            }
        };
        match request::parse(&bytes[from..to], fields, before, &d.limits) {
            Ok((head, len)) => {
                d.state = State::Body(Body::new(head.framing));
                (d.seen, d.empty_lines) = (0, 0);
                (from + len, Event::Head(head))
            }
            // The end of each line comes first, however the bytes were cut.
            Err(why) => d.refuse(find_end(&bytes[from..to], 0).err().unwrap_or(why)),
        }
    }

    /// The connection has ended. An error: inside of a request.
    ///
    /// ```
    /// use tidegate_http::codec::{Fields, Limits, RequestDecoder};
    /// let mut decoder = RequestDecoder::new(Limits::default());
    /// assert!(decoder.eof().is_ok());
    /// decoder.next(b"GET", &mut Fields::new());
    /// assert!(decoder.eof().is_err());
    /// ```
    pub fn eof(&mut self) -> Result<(), Refusal> {
        self.decoder.eof().map(|_| ())
    }

    /// Whether a part of a head was seen, and not its end.
    pub fn is_in_head(&self) -> bool {
        matches!(self.decoder.state, State::Start) && self.decoder.seen > 0
    }

    /// Whether it is between the head of a request and its [`End`](Event::End).
    pub fn is_in_body(&self) -> bool {
        matches!(self.decoder.state, State::Body(_))
    }

    /// If the message has no body, takes its [`End`](Event::End), and returns `true`.
    #[inline]
    pub(crate) fn take_end(&mut self) -> bool {
        let is_done = self.is_body_done();
        if is_done {
            self.decoder.state = State::Start;
        }
        is_done
    }

    /// Whether all of the body was read, so that the [`End`](Event::End) needs no more bytes.
    pub fn is_body_done(&self) -> bool {
        matches!(&self.decoder.state, State::Body(body) if body.is_done())
    }
}

/// Decodes the responses of a connection. It keeps no bytes and allocates nothing.
///
/// ```
/// use tidegate_http::codec::{Event, Fields, Limits, ResponseDecoder};
/// let mut decoder = ResponseDecoder::new(Limits::default());
/// decoder.expect("HEAD");
/// let bytes = b"HTTP/1.1 200\r\nContent-Length: 10\r\n\r\n";
/// let mut fields = Fields::new();
/// let (consumed, event) = decoder.next(bytes, &mut fields);
/// assert!(matches!(event, Event::Head(head) if head.status == 200));
/// # let mut fields = Fields::new();
/// assert!(matches!(decoder.next(&bytes[consumed..], &mut fields), (0, Event::End)));
/// ```
#[derive(Clone, Debug)]
pub struct ResponseDecoder {
    decoder: Decoder,
    asked: Asked,
}

impl ResponseDecoder {
    /// At the beginning of a connection.
    pub fn new(limits: Limits) -> ResponseDecoder {
        ResponseDecoder { decoder: Decoder::new(limits), asked: Asked::Other }
    }

    /// The next response answers a request with this method.
    pub fn expect(&mut self, method: &str) {
        self.asked = match method {
            "HEAD" => Asked::Head,
            "CONNECT" => Asked::Connect,
            _ => Asked::Other,
        };
    }

    /// The next event, and how many bytes were consumed. An informational response (1xx) is a whole
    /// message without a body; the answer follows it.
    #[inline]
    pub fn next<'b>(
        &mut self,
        bytes: &'b [u8],
        fields: &'b mut Fields,
    ) -> (usize, Event<'b, ResponseHead<'b>>) {
        let d = &mut self.decoder;
        match d.state {
            State::Body(_) => return d.body(bytes),
            State::Refused(why) => return (0, Event::Refused(why)),
            State::Start => {}
        }
        let refused = |why: Refusal| Refusal::new(502, why.what());
        let (from, to) = match d.find_head(bytes) {
            Ok((from, Some(to))) => (from, to),
            Ok((from, None)) => return (from, Event::More),
            Err(why) => return d.refuse(refused(why)),
        };
        match response::parse(&bytes[from..to], fields, &d.limits, self.asked) {
            Ok(head) => {
                d.state = State::Body(Body::new(head.framing));
                (to, Event::Head(head))
            }
            Err(why) => d.refuse(why),
        }
    }

    /// The connection has ended. `true`: that is the end of the response's body. An error: inside
    /// of a response.
    pub fn eof(&mut self) -> Result<bool, Refusal> {
        let is_until_end = matches!(&self.decoder.state, State::Body(b) if !b.is_done());
        self.decoder.eof().map(|ended| ended && is_until_end)
    }

    /// Whether it is between the head of a response and its [`End`](Event::End).
    pub fn is_in_body(&self) -> bool {
        matches!(self.decoder.state, State::Body(_))
    }
}
