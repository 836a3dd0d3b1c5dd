//! [`ProxyFault`]: why a connection was refused that had to begin with a PROXY header.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;

use crate::error::filter_fault::FilterFault;
use crate::error::net_error::NetError;
use crate::error::stage::Stage;

/// Why a connection was refused that had to begin with a header of the PROXY protocol. It is inside
/// of the [`NetError`] of the [`Close`](crate::Close) that
/// [`on_refused`](crate::ServerHandler::on_refused) gets, at [`Stage::Handshake`].
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_net::{Close, ProxyFault};
/// fn is_direct(close: &Close) -> bool {
///     let fault = close.reason.error().and_then(ProxyFault::of);
///     matches!(fault, Some(ProxyFault::Untrusted | ProxyFault::Missing))
/// }
/// # let _ = is_direct;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProxyFault {
    /// The peer is not one of the [`TrustedProxies`](crate::TrustedProxies).
    Untrusted,
    /// The first bytes are no header, or one of a version that is not accepted.
    Missing,
    /// It begins as a header, and breaks this rule.
    Malformed(&'static str),
    /// It says that it is longer than the limit.
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Its CRC32C is wrong.
    Checksum,
    /// The peer ended inside of the header.
    Truncated,
}

impl ProxyFault {
    /// The fault in a network error, if it has one.
    pub fn of(error: &NetError) -> Option<ProxyFault> {
        let mut next = error.source();
        while let Some(e) = next {
            if let Some(fault) = e.downcast_ref() {
                return Some(*fault);
            }
            next = e.source();
        }
        None
    }

    /// A code that does not change, as [`NetError::code`] has it.
    ///
    /// ```
    /// assert_eq!(tidegate_net::ProxyFault::Missing.code(), "PROXY_MISSING");
    /// ```
    pub fn code(self) -> &'static str {
        match self {
            ProxyFault::Untrusted => "PROXY_UNTRUSTED",
            ProxyFault::Missing => "PROXY_MISSING",
            ProxyFault::Malformed(_) => "PROXY_MALFORMED",
            ProxyFault::TooLong { .. } => "PROXY_TOO_LONG",
            ProxyFault::Checksum => "PROXY_CHECKSUM",
            ProxyFault::Truncated => "PROXY_TRUNCATED",
        }
    }

    /// What the filter returns.
    pub(crate) fn refusal(self) -> Box<dyn Error + Send + Sync> {
        let kind = match self {
            ProxyFault::Untrusted => ErrorKind::PermissionDenied,
            ProxyFault::Truncated => ErrorKind::UnexpectedEof,
            _ => ErrorKind::InvalidData,
        };
        FilterFault::new(Stage::Handshake, kind, self.code(), self).into()
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyFault::Untrusted => f.write_str("this peer may not send a PROXY header")?,
            ProxyFault::Missing => f.write_str("the peer sent no PROXY header")?,
            ProxyFault::Malformed(rule) => write!(f, "a malformed PROXY header: {rule}")?,
            ProxyFault::TooLong { bytes, limit } => {
                write!(f, "a PROXY header of {bytes} bytes, the limit is {limit}")?;
            }
            ProxyFault::Checksum => f.write_str("the checksum of the PROXY header is wrong")?,
            ProxyFault::Truncated => f.write_str("the peer ended inside of its PROXY header")?,
        }
        write!(f, " ({})", self.code())
    }
}

impl Error for ProxyFault {}
