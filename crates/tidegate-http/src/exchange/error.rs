//! [`HttpError`]: why an exchange did not do what was asked.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io;

use crate::message::encode_error::EncodeError;

/// Why an exchange did not do what was asked. The exchange is as it was before.
///
/// ```
/// use tidegate_http::codec::EncodeError;
/// use tidegate_http::HttpError;
/// assert_eq!(HttpError::from(EncodeError::Status).to_string(), "a bad status");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The exchange is over, or its connection is.
    Closed,
    /// The response cannot be written like that.
    Encode(EncodeError),
    /// The request's body was not read to its end: another protocol cannot begin.
    Body,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Closed => f.write_str("the exchange is over"),
            HttpError::Encode(e) => e.fmt(f),
            HttpError::Body => f.write_str("the request's body was not read to its end"),
        }
    }
}

impl Error for HttpError {}

impl From<EncodeError> for HttpError {
    fn from(e: EncodeError) -> HttpError {
        HttpError::Encode(e)
    }
}

impl From<HttpError> for io::Error {
    fn from(e: HttpError) -> io::Error {
        io::Error::other(e)
    }
}
