//! Where to listen and where to connect, with every option and its default.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::error::{AddressError, AddressFault};

/// An address as the user gave it.
#[derive(Clone, Debug)]
pub(crate) enum At {
    Text(String),
    Addr(SocketAddr),
    /// Every interface: `::` for both families, or `0.0.0.0`.
    Port(u16),
}

/// How to listen. A text (`"127.0.0.1:80"`, `"[::1]:80"`, `"localhost:80"`,
/// `":80"`), an address or a port turns into it.
///
/// A name is looked up inside the call, which then blocks; the first address
/// is taken. Without a host the server listens on `::` for both families, or
/// on `0.0.0.0` where there is no IPv6.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{ListenOptions, Net};
/// let mut lp = Loop::new()?;
/// let options = ListenOptions::new("127.0.0.1:0").backlog(1024).accept_budget(8);
/// let server = lp.listen(options, |conn| conn.reject())?;
/// assert_ne!(lp.local_addr(server)?.port(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ListenOptions {
    pub(crate) at: At,
    pub(crate) backlog: u32,
    pub(crate) accept_budget: Option<u32>,
    pub(crate) reuse_port: bool,
    pub(crate) stream: StreamOptions,
}

/// What accepted and connected sockets share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamOptions {
    pub(crate) allow_half_open: bool,
    pub(crate) high_water_mark: usize,
    pub(crate) write_limit: Option<usize>,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions { allow_half_open: false, high_water_mark: 64 * 1024, write_limit: None }
    }
}

impl ListenOptions {
    /// Listens there with the default options.
    pub fn new(at: impl Into<ListenOptions>) -> ListenOptions {
        at.into()
    }

    fn at(at: At) -> ListenOptions {
        ListenOptions {
            at,
            backlog: 511,
            accept_budget: None,
            reuse_port: false,
            stream: StreamOptions::default(),
        }
    }

    /// Connections the kernel may keep for us; default 511. The system clamps
    /// it (Linux: `net.core.somaxconn`). See listen(2).
    pub fn backlog(mut self, connections: u32) -> ListenOptions {
        self.backlog = connections;
        self
    }

    /// Connections accepted in one turn; default: the loop's
    /// [`accept_budget`](tidegate_loop::Limits::accept_budget). 0 counts as 1.
    pub fn accept_budget(mut self, connections: u32) -> ListenOptions {
        self.accept_budget = Some(connections.max(1));
        self
    }

    /// Several loops or processes share the port (`SO_REUSEPORT`); default off.
    /// An error where the system has no such thing.
    pub fn reuse_port(mut self, on: bool) -> ListenOptions {
        self.reuse_port = on;
        self
    }

    /// Our side stays open after the peer's end; default off.
    pub fn allow_half_open(mut self, on: bool) -> ListenOptions {
        self.stream.allow_half_open = on;
        self
    }

    /// Queued bytes at which a write returns `Full`; default 64 KiB.
    pub fn high_water_mark(mut self, bytes: usize) -> ListenOptions {
        self.stream.high_water_mark = bytes;
        self
    }

    /// Queued bytes at which a write destroys the connection; default: the
    /// loop's [`write_limit`](tidegate_loop::Limits::write_limit).
    pub fn write_limit(mut self, bytes: usize) -> ListenOptions {
        self.stream.write_limit = Some(bytes);
        self
    }
}

/// How to connect. A text with a numeric address, or an address, turns into it.
///
/// ```
/// use tidegate_net::ConnectOptions;
/// let options = ConnectOptions::new("[::1]:80").allow_half_open(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    pub(crate) to: At,
    pub(crate) stream: StreamOptions,
}

impl ConnectOptions {
    /// Connects there with the default options.
    pub fn new(to: impl Into<ConnectOptions>) -> ConnectOptions {
        to.into()
    }

    fn to(to: At) -> ConnectOptions {
        ConnectOptions { to, stream: StreamOptions::default() }
    }

    /// Our side stays open after the peer's end; default off.
    pub fn allow_half_open(mut self, on: bool) -> ConnectOptions {
        self.stream.allow_half_open = on;
        self
    }

    /// Queued bytes at which a write returns `Full`; default 64 KiB.
    pub fn high_water_mark(mut self, bytes: usize) -> ConnectOptions {
        self.stream.high_water_mark = bytes;
        self
    }

    /// Queued bytes at which a write destroys the connection; default: the
    /// loop's [`write_limit`](tidegate_loop::Limits::write_limit).
    pub fn write_limit(mut self, bytes: usize) -> ConnectOptions {
        self.stream.write_limit = Some(bytes);
        self
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
}

impl At {
    pub(crate) fn target(&self) -> Result<Target, AddressError> {
        match self {
            At::Addr(a) => Ok(Target::Addr(*a)),
            At::Port(p) => Ok(Target::AnyHost(*p)),
            At::Text(s) => parse(s).map_err(|fault| AddressError { input: s.clone(), fault }),
        }
    }
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
            Target::AnyHost(port) => Ok(vec![
                (Ipv6Addr::UNSPECIFIED, *port).into(),
                (Ipv4Addr::UNSPECIFIED, *port).into(),
            ]),
            Target::Name(host, port) => {
                (host.as_str(), *port).to_socket_addrs().map(|a| a.take(1).collect())
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
