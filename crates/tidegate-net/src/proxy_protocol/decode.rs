//! Bytes to a header and back: which version it is, and which are accepted.
//!
//! Nothing is guessed: bytes that can be no header are refused as soon as they differ from one.
#![forbid(unsafe_code)]

use crate::proxy_protocol::fault::ProxyFault;
use crate::proxy_protocol::header::{ProxyHeader, ProxyVersion};
use crate::proxy_protocol::{binary, text};

/// What a server accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) v1: bool,
    pub(crate) v2: bool,
    /// What may follow the fixed part of version 2.
    pub(crate) limit: usize,
}

/// The header and its length, or `None` if more has to come.
pub(crate) fn decode(
    bytes: &[u8],
    accepted: Accepted,
) -> Result<Option<(ProxyHeader, usize)>, ProxyFault> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if accepted.v2 && begins(binary::SIGNATURE) {
        return binary::decode(bytes, accepted.limit);
    }
    if accepted.v1 && begins(text::PREFIX) {
        return if bytes.len() < text::PREFIX.len() { Ok(None) } else { text::decode(bytes) };
    }
    Err(ProxyFault::Missing)
}

impl ProxyHeader {
    /// As it is sent. A header of version 1 has no values and no checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self.version {
            ProxyVersion::V1 => text::encode(self),
            ProxyVersion::V2 => binary::encode(self),
        }
    }

    /// The header that these bytes begin with, and its length; `None` if more has to come. For
    /// bytes that do not come from a connection: on those
    /// [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol) does it.
    ///
    /// ```
    /// use tidegate_net::{ProxyFault, ProxyHeader};
    /// let (header, length) = ProxyHeader::parse(b"PROXY UNKNOWN\r\nGET /")?.unwrap();
    /// assert_eq!((header.source(), length), (None, 15));
    /// assert_eq!(ProxyHeader::parse(b"PROXY TCP4 192.0")?, None);
    /// assert_eq!(ProxyHeader::parse(b"GET / HTTP/1.1"), Err(ProxyFault::Missing));
    /// # Ok::<(), ProxyFault>(())
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyFault> {
        decode(bytes, Accepted { v1: true, v2: true, limit: usize::from(u16::MAX) })
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
