//! [`Endpoint`]: an address or a path, where a server listens or a client connects to.
//!
//! A connection on a path is a stream socket like any other, so everything above the descriptor
//! is shared; what differs stands in `sys/`. It has no addresses: `peer_addr` says `None`.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate_loop::OneLine;

/// Where a server listens.
///
/// ```
/// use tidegate_net::Endpoint;
/// assert_eq!(Endpoint::Path("/run/tide.sock".into()).to_string(), "/run/tide.sock");
/// assert_eq!(Endpoint::Path("\0tide".into()).to_string(), "@tide");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Endpoint {
    /// An address.
    Ip(SocketAddr),
    /// A path, or after a leading NUL a name in Linux' abstract namespace.
    Path(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Ip(addr) => addr.fmt(f),
            Endpoint::Path(path) => write_path(path, f),
        }
    }
}

fn write_path(path: &std::path::Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = path.to_string_lossy();
    match text.strip_prefix('\0') {
        Some(name) => write!(f, "@{}", OneLine(name)),
        None => write!(f, "{}", OneLine(&text)),
    }
}
