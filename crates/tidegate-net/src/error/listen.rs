//! Why a server could not listen: [`ListenError`], and what is wrong with the text of an
//! address or with a path.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;

use crate::error::net_error::NetError;

/// A text or a path that is not a valid address.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::Net;
/// let e = Loop::new()?.listen("127.0.0.1:99999", |conn| conn.reject()).unwrap_err();
/// assert_eq!(e.to_string(), "\"127.0.0.1:99999\" is not a valid address: the port must be 0 to 65535");
/// let e = tidegate_net::AddressError { input: "tide".into(), fault: tidegate_net::AddressFault::NoPort };
/// assert_eq!(format!("{e:?}"), e.to_string());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AddressError {
    /// What was given.
    pub input: String,
    /// What is wrong with it.
    pub fault: AddressFault,
}

/// What is wrong with an address.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// assert_ne!(tidegate_net::AddressFault::NoPort, tidegate_net::AddressFault::BadPort);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressFault {
    /// `HOST` without `:PORT`.
    NoPort,
    /// The port is not a number from 0 to 65535.
    BadPort,
    /// A host was given beside the port, and it is empty. (Without a host, `":80"`, a server
    /// listens on every interface, and a client connects to this machine.)
    NoHost,
    /// A host was given beside the port, and it is neither a name nor an address: it may have a
    /// port itself.
    NotAHost,
    /// An IPv6 address without brackets, or brackets around something else.
    BadHost,
    /// The path of a Unix domain socket is empty. (The system would choose a name.)
    EmptyPath,
    /// The path has a NUL byte: the system would use only the part before it. A name in Linux'
    /// abstract namespace has one as its first byte, and no other.
    NulInPath,
    /// The path is longer than the system's address of a socket.
    PathTooLong {
        /// Its bytes.
        bytes: usize,
        /// As many as it may have.
        most: usize,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a valid address: ", self.input)?;
        f.write_str(match self.fault {
            AddressFault::PathTooLong { bytes, most } => {
                return write!(f, "the path has {bytes} bytes, the maximum is {most}");
            }
            AddressFault::EmptyPath => "the path is empty",
            AddressFault::NulInPath => "the path has a NUL byte",
            AddressFault::NoHost => "the host is missing",
            AddressFault::NotAHost => {
                "write a name or an IP address alone, since the port is beside it"
            }
            AddressFault::NoPort => "the port is missing; write HOST:PORT",
            AddressFault::BadPort => "the port must be 0 to 65535",
            AddressFault::BadHost => "write an IPv6 address in brackets, as [::1]:80",
        })
    }
}

/// The text, for a `main` that returns it; `{:#?}` shows the fields.
impl fmt::Debug for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return fmt::Display::fmt(self, f);
        }
        f.debug_struct("AddressError")
            .field("input", &self.input)
            .field("fault", &self.fault)
            .finish()
    }
}

impl std::error::Error for AddressError {}

impl From<AddressError> for io::Error {
    fn from(e: AddressError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, e)
    }
}

/// Why a server could not be opened.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_net::ListenError;
/// fn hint(e: &ListenError) -> &'static str {
///     match e {
///         ListenError::Address(_) => "look at the text",
///         ListenError::Failed(e) if e.kind() == std::io::ErrorKind::AddrInUse => "stop the other one",
///         _ => "look at the system",
///     }
/// }
/// # let _ = hint;
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// The address cannot be understood.
    Address(AddressError),
    /// The system refused: see its stage.
    Failed(NetError),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Address(e) => e.fmt(f),
            ListenError::Failed(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ListenError::Address(e) => Some(e),
            ListenError::Failed(e) => Some(e),
        }
    }
}

impl From<ListenError> for io::Error {
    fn from(e: ListenError) -> io::Error {
        match e {
            ListenError::Address(e) => e.into(),
            ListenError::Failed(e) => e.into(),
        }
    }
}
