//! Where to listen and where to connect: a text, an address, a port, a path, a socket.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{AddressError, AddressFault};
use crate::lookup;
use crate::options::{ConnectOptions, ListenOptions};
use crate::sys::{self, PathFault};

/// An address as the user gave it.
#[derive(Clone, Debug)]
pub(crate) enum At {
    Text(String),
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
    pub(crate) fn take(&self) -> Option<TcpListener> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

macro_rules! from {
    ($($t:ty => |$x:ident| $at:expr;)*) => {
        $(impl From<$t> for ListenOptions {
            fn from($x: $t) -> ListenOptions { ListenOptions::at($at) }
        }
        impl From<$t> for ConnectOptions {
            fn from($x: $t) -> ConnectOptions { ConnectOptions::to($at) }
        })*
    };
}

from! {
    &str => |s| At::Text(s.to_owned());
    String => |s| At::Text(s);
    SocketAddr => |a| At::Addr(a);
    (IpAddr, u16) => |a| At::Addr(a.into());
    (&str, u16) => |a| At::Text(join(a.0, a.1));
}

/// A socket that listens already: from the one who started the process, or made with
/// options that have no name here. It belongs to the server from then on; the backlog is
/// what it is, and options that come before bind are an error. Cloned options cannot be used twice.
impl From<TcpListener> for ListenOptions {
    fn from(listener: TcpListener) -> ListenOptions {
        ListenOptions::at(At::Adopted(Adopted(Arc::new(Mutex::new(Some(listener))))))
    }
}

impl From<u16> for ListenOptions {
    fn from(port: u16) -> ListenOptions {
        ListenOptions::at(At::Port(port))
    }
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// A text taken apart.
pub(crate) enum Target {
    Addr(SocketAddr),
    Name(String, u16),
    AnyHost(u16),
    Path(PathBuf),
}

impl At {
    pub(crate) fn target(&self) -> Result<Target, AddressError> {
        match self {
            At::Addr(a) => Ok(Target::Addr(*a)),
            At::Port(p) => Ok(Target::AnyHost(*p)),
            At::Unix(path) => Ok(Target::Path(path.clone())),
            At::Adopted(_) => Ok(Target::AnyHost(0)),
            At::Text(s) => parse(s).map_err(|fault| AddressError { input: s.clone(), fault }),
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

fn port_is_digits(text: &str) -> bool {
    text.rsplit(':').next().is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

impl Target {
    /// The addresses to try to listen on, in order. Blocks if it is a name.
    pub(crate) fn candidates(&self) -> std::io::Result<Vec<SocketAddr>> {
        match self {
            Target::Addr(a) => Ok(vec![*a]),
            Target::Path(_) => Ok(Vec::new()),
            Target::AnyHost(port) => Ok(vec![
                (Ipv6Addr::UNSPECIFIED, *port).into(),
                (Ipv4Addr::UNSPECIFIED, *port).into(),
            ]),
            Target::Name(host, port) => {
                let mut found = lookup::resolve(host)?;
                found.truncate(1);
                found.iter_mut().for_each(|addr| addr.set_port(*port));
                Ok(found)
            }
        }
    }
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
        assert_eq!(join("::1", 80), "[::1]:80");
    }
}
