//! [`Version`]: of HTTP.
#![forbid(unsafe_code)]

use std::fmt;

/// The version of a message.
///
/// ```
/// use tidegate_http::codec::Version;
/// assert!(Version::Http10 < Version::Http11);
/// assert_eq!(Version::Http11.to_string(), "HTTP/1.1");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        })
    }
}
