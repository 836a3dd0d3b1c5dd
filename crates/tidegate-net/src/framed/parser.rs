//! [`Parser`]: takes a message apart whose end may still be on its way.
#![forbid(unsafe_code)]

use std::fmt;

use tidegate_stream::BoxError;

/// Takes a message apart from the front, for [`Decode`](crate::Decode) and for whatever else parses
/// bytes that come in pieces. Each method takes what it returns; where too few bytes have come it
/// returns [`ParseError::Incomplete`], so that `?` leaves the parser. Then nothing is taken from
/// the input, and the next attempt begins at the front again. Keep what you note in the decoder
/// until the message is complete.
///
/// ```
/// use tidegate_net::{BoxError, Decode, Parser};
/// /// A name and a port: the length of the name, the name, two bytes.
/// struct Targets;
/// impl Decode for Targets {
///     type Frame<'a> = (&'a [u8], u16);
///     fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<(&'a [u8], u16)>, BoxError> {
///         Parser::parse(input, |p| {
///             let length = p.byte()?;
///             if length == 0 {
///                 return Err("a name is empty".into());
///             }
///             Ok((p.bytes(length.into())?, u16::from_be_bytes(p.array()?)))
///         })
///     }
/// }
/// let mut input = &b"\x04tide\x00\x50\x04ga"[..];
/// assert_eq!(Targets.decode(&mut input).unwrap(), Some((&b"tide"[..], 80)));
/// assert_eq!(Targets.decode(&mut input).unwrap(), None, "more is needed");
/// assert_eq!(input, b"\x04ga");
/// assert_eq!(Targets.decode(&mut &b"\0"[..]).unwrap_err().to_string(), "a name is empty");
/// ```
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    /// Runs `f` over the input. If it succeeds, what it has taken is gone from the input. `None`
    /// if it was [`Incomplete`](ParseError::Incomplete). This is what
    /// [`Decode::decode`](crate::Decode::decode) returns.
    pub fn parse<T>(
        input: &mut &'a [u8],
        f: impl FnOnce(&mut Parser<'a>) -> Result<T, ParseError>,
    ) -> Result<Option<T>, BoxError> {
        let mut parser = Parser { rest: input };
        match f(&mut parser) {
            Ok(message) => {
                *input = parser.rest;
                Ok(Some(message))
            }
            Err(ParseError::Incomplete) => Ok(None),
            Err(ParseError::Invalid(e)) => Err(e),
        }
    }

    /// What is not taken yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, ParseError> {
        self.array().map(|[byte]| byte)
    }

    /// As many bytes as the array has: `u32::from_be_bytes(p.array()?)`.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ParseError::Incomplete)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// So many bytes. A length that came from the peer is only as dangerous as your
    /// [`limit`](crate::Decode::limit): nothing is reserved for it.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], ParseError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ParseError::Incomplete)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A line, without its `\n` or `\r\n`. It is searched from its beginning each time; for a
    /// protocol of nothing but lines take [`Lines`](crate::Lines), which notes how far it looked.
    pub fn line(&mut self) -> Result<&'a [u8], ParseError> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let line = self.bytes(end.ok_or(ParseError::Incomplete)?)?;
        self.expect(b"\n")?;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// These bytes and no others. Others are an error as soon as the first one has come that
    /// differs.
    ///
    /// ```
    /// use tidegate_net::Parser;
    /// let greeting = |mut bytes: &[u8]| Parser::parse(&mut bytes, |p| p.expect(b"SSH-"));
    /// assert_eq!(greeting(b"SS").unwrap(), None);
    /// assert_eq!(greeting(b"GET").unwrap_err().to_string(), "expected 'SSH-'");
    /// ```
    pub fn expect(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        if let Some(rest) = self.rest.strip_prefix(bytes) {
            self.rest = rest;
            return Ok(());
        }
        if bytes.starts_with(self.rest) {
            return Err(ParseError::Incomplete);
        }
        Err(format!("expected '{}'", bytes.escape_ascii()).into())
    }
}

/// Why a [`Parser`] stopped. `?` and `into` make [`Invalid`](ParseError::Invalid) of any error,
/// and of a text.
///
/// ```
/// use tidegate_net::ParseError;
/// let invalid = ParseError::from("not a number");
/// assert_eq!(format!("{invalid:?}"), "Invalid(\"not a number\")");
/// ```
pub enum ParseError {
    /// More bytes are needed.
    Incomplete,
    /// The bytes are no message.
    Invalid(BoxError),
}

impl<E: Into<BoxError>> From<E> for ParseError {
    fn from(e: E) -> ParseError {
        ParseError::Invalid(e.into())
    }
}

impl fmt::Debug for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Incomplete => f.write_str("Incomplete"),
            ParseError::Invalid(e) => f.debug_tuple("Invalid").field(e).finish(),
        }
    }
}
