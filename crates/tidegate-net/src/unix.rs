//! Unix domain sockets: servers and clients on a path, with the same handlers.
//!
//! A connection there is a stream socket like any other, so everything above the descriptor
//! is shared; what differs stands in `sys/`. It has no addresses: `peer_addr` says `None`.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate_loop::OneLine;

use crate::address::At;
use crate::options::{ConnectOptions, ListenOptions};

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

impl ListenOptions {
    /// Listens on a path: a Unix domain socket. The file must not be there yet, whatever it
    /// is (`EADDRINUSE`); it goes when the server closes. A path that begins with a NUL is a
    /// name in Linux' abstract namespace. See unix(7); an error where there are none. A path
    /// that is empty, too long, or has a NUL elsewhere is a
    /// [`ListenError::Address`](crate::ListenError::Address).
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{ConnectOptions, ListenOptions, Net, On};
    /// # if cfg!(unix) {
    /// let path = std::env::temp_dir().join(format!("tidegate-doc-{}", std::process::id()));
    /// let mut lp = Loop::new()?;
    /// lp.listen(ListenOptions::unix(&path).mode(0o600), |mut conn| {
    ///     let server = conn.server();
    ///     conn.close_server(server).unwrap();
    ///     let _ = conn.accept(On::new()).end_with("hello");
    /// })?;
    /// lp.connect(ConnectOptions::unix(&path), On::new().data(|_, chunk| {
    ///     assert_eq!(chunk, b"hello");
    /// }));
    /// lp.run()?;
    /// assert!(!path.exists());
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unix(path: impl Into<PathBuf>) -> ListenOptions {
        ListenOptions::at(At::Unix(path.into()))
    }

    /// Who may connect to a path: the permissions of its file, as chmod(2). Set before it
    /// listens. Default: what the process's umask leaves. An error with a name in the abstract
    /// namespace, which has no file.
    pub fn mode(mut self, mode: u32) -> ListenOptions {
        self.mode = Some(mode);
        self
    }
}

impl ConnectOptions {
    /// Connects to a path: a Unix domain socket. One that is empty, too long, or has a NUL
    /// after its first byte fails at stage `connect`, with an
    /// [`AddressError`](crate::AddressError) inside.
    pub fn unix(path: impl Into<PathBuf>) -> ConnectOptions {
        ConnectOptions::to(At::Unix(path.into()))
    }
}
