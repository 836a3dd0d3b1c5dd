//! The causes that this layer names itself: a deadline that passed, a name that has no address.
//!
//! They travel as the source of a `NetError`. Faults in the text of an address are in `listen.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;
use std::io;

/// Which deadline of a connection passed.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// assert_eq!(tidegate_net::Timeout::Idle.to_string(), "idle timeout");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Timeout {
    /// It was not connected in time; the time includes the lookup of its name, and until its
    /// filters are ready.
    Connect,
    /// A server's connection was accepted, and its filters were not ready in time.
    Handshake,
    /// No byte moved in either direction for this long.
    Idle,
    /// It was open for this long.
    Lifetime,
    /// One side had ended, and then no byte moved for this long.
    Linger,
    /// Its server was shut down, and the grace was over:
    /// [`ServerCx::shutdown`](crate::ServerCx::shutdown).
    Shutdown,
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Timeout::Connect => "connect timeout",
            Timeout::Handshake => "handshake timeout",
            Timeout::Idle => "idle timeout",
            Timeout::Lifetime => "lifetime",
            Timeout::Linger => "linger timeout",
            Timeout::Shutdown => "grace of the shutdown",
        })
    }
}

impl std::error::Error for Timeout {}

/// Why a name has no address.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_net::LookupFault;
/// assert_eq!(LookupFault::NotFound.to_string(), "there is no such name (ENOTFOUND)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LookupFault {
    /// No such name, or it has no address of the family that was asked for.
    NotFound,
    /// The resolver got no answer; a later lookup may get one.
    TryAgain,
}

impl LookupFault {
    /// What Node calls it.
    pub fn code(self) -> &'static str {
        match self {
            LookupFault::NotFound => "ENOTFOUND",
            LookupFault::TryAgain => "EAI_AGAIN",
        }
    }
}

impl fmt::Display for LookupFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            LookupFault::NotFound => "there is no such name",
            LookupFault::TryAgain => "the resolver got no answer; try again",
        };
        write!(f, "{text} ({})", self.code())
    }
}

impl std::error::Error for LookupFault {}

impl From<LookupFault> for io::Error {
    fn from(fault: LookupFault) -> io::Error {
        let kind = match fault {
            LookupFault::NotFound => io::ErrorKind::NotFound,
            LookupFault::TryAgain => io::ErrorKind::ResourceBusy,
        };
        io::Error::new(kind, fault)
    }
}
