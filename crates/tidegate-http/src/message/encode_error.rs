//! [`EncodeError`]: why a message cannot be written.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

/// Why a message, or a part of one, cannot be written. Nothing of it was written.
///
/// ```
/// use tidegate_http::codec::{Answering, EncodeError, Encoder, Length};
/// let (mut out, fields) = (Vec::new(), [("x-tide", &b"high\r\nx-evil: 1"[..])]);
/// let refused = Encoder::new().response(&mut out, Answering::default(), 200, Length::Known(0), None, fields);
/// assert_eq!((refused, out.len()), (Err(EncodeError::FieldValue), 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// The status is not in 200 to 999; an informational one not in 100 to 199, or 101.
    Status,
    /// The method is no token, or the target has a character that it may not have.
    StartLine,
    /// The name of a field is no token.
    FieldName,
    /// The value of a field has a control character, such as CR or LF.
    FieldValue,
    /// The fields contradict the length of the body, or each other: two lengths, a transfer
    /// encoding other than `chunked`, or both kinds.
    Framing,
    /// A message of this status has no body.
    NoBody,
    /// More bytes than the length that was declared.
    TooLong,
    /// Fewer bytes than the length that was declared. The connection must be reset: nothing else
    /// tells the peer.
    TooShort,
    /// Trailers need a chunked body, and some fields may not be in them.
    Trailers,
    /// The message has begun already, or it has not, or it is over.
    Order,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EncodeError::Status => "a bad status",
            EncodeError::StartLine => "a bad method or target",
            EncodeError::FieldName => "a bad name of a field",
            EncodeError::FieldValue => "a bad value of a field",
            EncodeError::Framing => "fields that contradict the body's length",
            EncodeError::NoBody => "a body where there is none",
            EncodeError::TooLong => "more bytes than declared",
            EncodeError::TooShort => "fewer bytes than declared",
            EncodeError::Trailers => "trailers without chunks, or a field that may not be in them",
            EncodeError::Order => "a part that does not come next",
        })
    }
}

impl Error for EncodeError {}
