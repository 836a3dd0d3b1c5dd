//! Where to listen and where to connect: a text, an address, a port, a path, a socket.
#![forbid(unsafe_code)]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::listen::{AddressError, AddressFault};
use crate::sys::{self, PathFault};

/// An address as the user gave it.
#[derive(Clone, Debug)]
pub(crate) enum At {
    Text(String),
    /// A host and a port, given apart.
    Host(String, u16),
    Addr(SocketAddr),
    /// Every interface: `::` for both families, or `0.0.0.0`.
    Port(u16),
    /// One that listens already.
    Adopted(Adopted),
    /// A Unix domain socket.
    Unix(PathBuf),
}

/// A listener that is to be taken over, once.
#[derive(Clone, Debug)]
pub(crate) struct Adopted(Arc<Mutex<Option<TcpListener>>>);

impl Adopted {
    pub(crate) fn new(listener: TcpListener) -> Adopted {
        Adopted(Arc::new(Mutex::new(Some(listener))))
    }

    pub(crate) fn take(&self) -> Option<TcpListener> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A text taken apart.
pub(crate) enum Target {
    Addr(SocketAddr),
    Name(String, u16),
    AnyHost(u16),
    Path(PathBuf),
}

impl Target {
    /// The host: a name or a numeric address.
    pub(crate) fn host(&self) -> Option<String> {
        match self {
            Target::Addr(at) => Some(at.ip().to_string()),
            Target::Name(host, _) => Some(host.clone()),
            Target::AnyHost(_) | Target::Path(_) => None,
        }
    }
}

impl At {
    pub(crate) fn target(&self) -> Result<Target, AddressError> {
        match self {
            At::Addr(a) => Ok(Target::Addr(*a)),
            At::Port(p) => Ok(Target::AnyHost(*p)),
            At::Unix(path) => Ok(Target::Path(path.clone())),
            At::Adopted(_) => Ok(Target::AnyHost(0)),
            At::Text(s) => parse(s).map_err(|fault| AddressError { input: s.clone(), fault }),
            At::Host(host, port) => {
                let error = |fault| AddressError { input: host.clone(), fault };
                parse_host(host, *port).map_err(error)
            }
        }
    }
}

/// A path that the system would take for another is an error here.
pub(crate) fn check_path(path: &Path) -> Result<(), AddressError> {
    let input = || path.to_string_lossy().into_owned();
    sys::unix_path(path).map_err(|fault| AddressError {
        input: input(),
        fault: match fault {
            PathFault::Empty => AddressFault::EmptyPath,
            PathFault::NulByte => AddressFault::NulInPath,
            PathFault::TooLong { bytes, most } => AddressFault::PathTooLong { bytes, most },
        },
    })
}

fn parse(text: &str) -> Result<Target, AddressFault> {
    if let Ok(addr) = text.parse() {
        return Ok(Target::Addr(addr));
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressFault::NoPort)?;
    if port.ends_with(']') {
        return Err(AddressFault::NoPort);
    }
    // `u16::from_str` would take a leading plus sign.
    let port = match port.parse() {
        Ok(port) if port_is_digits(text) => port,
        _ => return Err(AddressFault::BadPort),
    };
    if host.is_empty() {
        return Ok(Target::AnyHost(port));
    }
    if host.contains([':', '[', ']']) {
        return Err(AddressFault::BadHost);
    }
    Ok(Target::Name(host.to_owned(), port))
}

/// A host without its port.
fn parse_host(host: &str, port: u16) -> Result<Target, AddressFault> {
    if host.is_empty() {
        return Err(AddressFault::NoHost);
    }
    if !host.contains([':', '[', ']']) {
        return Ok(match host.parse() {
            Ok(ip) => Target::Addr(SocketAddr::new(ip, port)),
            Err(_) => Target::Name(host.to_owned(), port),
        });
    }
    // An IPv6 address, with or without brackets.
    let with_port =
        if host.starts_with('[') { format!("{host}:{port}") } else { format!("[{host}]:{port}") };
    with_port.parse().map(Target::Addr).map_err(|_| AddressFault::NotAHost)
}

fn port_is_digits(text: &str) -> bool {
    text.rsplit(':').next().is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_address_say_what_is_wrong() {
        for (text, fault) in [
            ("127.0.0.1", AddressFault::NoPort),
            ("", AddressFault::NoPort),
            ("[::1]", AddressFault::NoPort),
            ("127.0.0.1:", AddressFault::BadPort),
            ("127.0.0.1:65536", AddressFault::BadPort),
            ("127.0.0.1:-1", AddressFault::BadPort),
            ("127.0.0.1:+80", AddressFault::BadPort),
            ("127.0.0.1:http", AddressFault::BadPort),
            ("::1:80", AddressFault::BadHost),
            ("[::1:80", AddressFault::BadHost),
            ("[x]:80", AddressFault::BadHost),
        ] {
            assert_eq!(parse(text).err(), Some(fault), "{text:?}");
        }
    }

    #[test]
    fn texts_that_are_one() {
        assert!(matches!(parse("127.0.0.1:0"), Ok(Target::Addr(_))));
        assert!(matches!(parse("[::1]:65535"), Ok(Target::Addr(_))));
        assert!(matches!(parse(":80"), Ok(Target::AnyHost(80))));
        assert!(matches!(parse("localhost:80"), Ok(Target::Name(h, 80)) if h == "localhost"));
    }

    #[test]
    fn hosts_with_a_port_beside_them() {
        for host in ["::1", "[::1]", "127.0.0.1", "fe80::1%1"] {
            assert!(
                matches!(parse_host(host, 80), Ok(Target::Addr(at)) if at.port() == 80),
                "{host}"
            );
        }
        assert!(matches!(parse_host("tide", 80), Ok(Target::Name(host, 80)) if host == "tide"));
        assert_eq!(parse_host("", 80).err(), Some(AddressFault::NoHost));
        for host in
            ["127.0.0.1:22", "tide:22", "[::1]:22", "[tide]", "[::1", "::1]", ":", "1::2::3"]
        {
            assert_eq!(parse_host(host, 80).err(), Some(AddressFault::NotAHost), "{host}");
        }
    }
}
