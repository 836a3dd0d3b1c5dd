//! What can go wrong, with where and when: stage, code, endpoints, elapsed
//! time. And how a connection ended: [`Close`].
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;
use std::io;
use std::mem::discriminant;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_loop::{Cx, OneLine};
use tidegate_stream::StreamError;

use crate::lookup::LookupFault;
use crate::sys;
use crate::timeout::Timeout;

/// The step at which something failed.
///
/// ```
/// assert_eq!(tidegate_net::Stage::Connect.to_string(), "connect");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// A name or an address was to be understood.
    Lookup,
    /// An address was to be taken.
    Bind,
    /// A listening socket was to be opened.
    Listen,
    /// A connection was to be made.
    Connect,
    /// A connection was to be taken from the queue.
    Accept,
    /// The poller was to watch a socket.
    Register,
    /// Bytes were to be read.
    Read,
    /// Bytes were to be written.
    Write,
    /// A filter on the wire refused the bytes.
    Filter,
    /// The connection was open; a deadline passed.
    Open,
    /// The user's own code gave the error to
    /// [`destroy_with`](crate::SocketCx::destroy_with).
    Application,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Lookup => "lookup",
            Stage::Bind => "bind",
            Stage::Listen => "listen",
            Stage::Connect => "connect",
            Stage::Accept => "accept",
            Stage::Register => "register",
            Stage::Read => "read",
            Stage::Write => "write",
            Stage::Filter => "filter",
            Stage::Open => "connection",
            Stage::Application => "application",
        })
    }
}

/// An error of the network, with its place on the path.
///
/// `Display` is fit for a log line: one line, whatever the source says; `source` is the [`io::Error`].
///
/// ```
/// use std::io::ErrorKind;
/// use tidegate_loop::Loop;
/// use tidegate_net::{ListenError, Net, Stage};
/// let mut lp = Loop::new()?;
/// let first = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// let at = lp.local_addr(first)?;
/// let again = lp.listen(at, |conn| conn.reject());
/// let Err(ListenError::Failed(e)) = again else { panic!() };
/// assert_eq!((e.stage(), e.kind(), e.code()), (Stage::Bind, ErrorKind::AddrInUse, Some("EADDRINUSE")));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct NetError {
    stage: Stage,
    source: io::Error,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    elapsed: Option<Duration>,
    tried: Option<Box<Tried>>,
}

/// The name that was asked for, and what was tried.
#[derive(Debug)]
struct Tried {
    name: Option<String>,
    attempts: Vec<Attempt>,
    untried: usize,
}

/// How many attempts a text lists.
const LISTED: usize = 8;

/// One address that was tried, and what came of it.
///
/// ```
/// fn refused(a: &tidegate_net::Attempt) -> bool {
///     a.error.kind() == std::io::ErrorKind::ConnectionRefused
/// }
/// # let _ = refused;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub remote: SocketAddr,
    /// The step that failed: connect, or bind.
    pub stage: Stage,
    /// How long it was tried.
    pub elapsed: Duration,
    /// Why it failed.
    pub error: Arc<io::Error>,
}

impl Attempt {
    /// The operating system's name of the error, as `ECONNREFUSED`.
    pub fn code(&self) -> Option<&'static str> {
        self.error.raw_os_error().and_then(sys::code_name)
    }

    /// The system's error again.
    pub(crate) fn copy(&self) -> io::Error {
        match self.error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.error.kind(), self.error.to_string()),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:.1} ms: ", self.remote, self.elapsed.as_secs_f64() * 1e3)?;
        describe(&self.error, f)
    }
}

/// An error in words, with the system's name for it.
fn describe(e: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match e.raw_os_error().and_then(sys::code_name) {
        Some(code) => write!(f, "{} ({code})", sys::description(e)),
        None => write!(f, "{}", OneLine(e)),
    }
}

impl NetError {
    pub(crate) fn new(stage: Stage, source: io::Error) -> NetError {
        NetError { stage, source, local: None, remote: None, elapsed: None, tried: None }
    }

    pub(crate) fn tried(mut self, name: Option<String>, attempts: Vec<Attempt>) -> NetError {
        self.tried = Some(Box::new(Tried { name, attempts, untried: 0 }));
        self
    }

    pub(crate) fn untried_are(mut self, untried: usize) -> NetError {
        if let Some(tried) = &mut self.tried {
            tried.untried = untried;
        }
        self
    }

    /// For a connect to a name: every address that was tried, in order.
    pub fn attempts(&self) -> &[Attempt] {
        self.tried.as_ref().map_or(&[], |t| &t.attempts)
    }

    /// For a connect to a name: how many of its addresses were not tried, because of
    /// [`max_addresses`](crate::ConnectOptions::max_addresses) or because the time was over.
    pub fn untried(&self) -> usize {
        self.tried.as_ref().map_or(0, |t| t.untried)
    }

    /// For a connect: the name and port that were asked for.
    pub fn name(&self) -> Option<&str> {
        self.tried.as_ref()?.name.as_deref()
    }

    pub(crate) fn at(mut self, local: Option<SocketAddr>, remote: Option<SocketAddr>) -> NetError {
        self.local = local;
        self.remote = remote;
        self
    }

    pub(crate) fn after(mut self, elapsed: Duration) -> NetError {
        self.elapsed = Some(elapsed);
        self
    }

    /// The underlying error in words, with the system's name for it.
    pub(crate) fn in_words(&self) -> String {
        struct Words<'a>(&'a io::Error);
        impl fmt::Display for Words<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                describe(self.0, f)
            }
        }
        Words(&self.source).to_string()
    }

    /// What errors of one kind have in common, for the log. Our own end is known of clients:
    /// what goes wrong there is not what the clients of a server cause.
    pub(crate) fn alike(&self) -> impl Hash + use<> {
        (self.stage, self.kind(), self.code(), self.timeout(), self.local.is_some())
    }

    pub(crate) fn into_source(self) -> io::Error {
        self.source
    }

    /// The first addresses that were tried, and how many more there were.
    fn list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, attempt) in self.attempts().iter().take(LISTED).enumerate() {
            write!(f, "{}{attempt}", if i == 0 { ": " } else { "; " })?;
        }
        match self.attempts().len().saturating_sub(LISTED) {
            0 => {}
            more => write!(f, "; {more} more failed")?,
        }
        self.count_untried(f)
    }

    fn count_untried(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.untried() {
            0 => Ok(()),
            1 => f.write_str("; 1 address was not tried"),
            n => write!(f, "; {n} addresses were not tried"),
        }
    }

    /// The step that failed.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The kind of the underlying error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The operating system's name of it, as `ECONNREFUSED`; of a lookup, as `ENOTFOUND`.
    pub fn code(&self) -> Option<&'static str> {
        let lookup = || self.source.get_ref()?.downcast_ref::<LookupFault>().map(|f| f.code());
        self.source.raw_os_error().and_then(sys::code_name).or_else(lookup)
    }

    /// The deadline that passed, if it was one.
    pub fn timeout(&self) -> Option<Timeout> {
        self.source.get_ref().and_then(|e| e.downcast_ref()).copied()
    }

    /// Our end, where known.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The other end, where known.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// For a connect: since it was asked for. Later: since the connection was
    /// made.
    pub fn elapsed(&self) -> Option<Duration> {
        self.elapsed
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.stage == Stage::Application;
        // Not the application failed.
        if own { Stage::Open } else { self.stage }.fmt(f)?;
        let name = OneLine(self.name().unwrap_or_default());
        match (self.stage, self.remote, self.local) {
            (Stage::Lookup, _, _) if self.name().is_some() => {
                write!(f, " of {}", name)?;
            }
            (Stage::Bind | Stage::Listen | Stage::Accept, _, None) if self.name().is_some() => {
                write!(f, " on {}", name)?;
            }
            (Stage::Connect | Stage::Application, _, _) if self.name().is_some() => {
                write!(f, " to {}", name)?;
            }
            (Stage::Connect, Some(remote), _) => write!(f, " to {remote}")?,
            (Stage::Bind | Stage::Listen | Stage::Accept, _, Some(local)) => {
                write!(f, " on {local}")?;
            }
            (_, Some(remote), _) => write!(f, " with {remote}")?,
            _ => {}
        }
        let timeout = self.timeout();
        f.write_str(if timeout.is_some() { " timed out" } else { " failed" })?;
        match self.elapsed {
            Some(t) if t >= Duration::from_secs(1) => write!(f, " after {:.1} s", t.as_secs_f64())?,
            Some(t) => write!(f, " after {:.1} ms", t.as_secs_f64() * 1e3)?,
            None => {}
        }
        if let Some(which) = timeout {
            match self.local {
                Some(local) => write!(f, " (from {local}; {which})")?,
                None => write!(f, " ({which})")?,
            }
            return match self.attempts().len() {
                0 | 1 => self.count_untried(f),
                _ => self.list(f),
            };
        }
        if self.attempts().len() > 1 && !own {
            return self.list(f);
        }
        f.write_str(": ")?;
        describe(&self.source, f)?;
        match (self.stage, self.local) {
            (Stage::Bind, _) => match self.remote {
                Some(remote) => write!(f, " [to connect to {remote}]"),
                None => Ok(()),
            },
            (Stage::Listen | Stage::Accept, _) | (_, None) => Ok(()),
            (_, Some(local)) => write!(f, " [from {local}]"),
        }?;
        self.count_untried(f)
    }
}

impl std::error::Error for NetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<NetError> for io::Error {
    fn from(e: NetError) -> io::Error {
        io::Error::new(e.kind(), e)
    }
}

/// A text, or a path, that is no address.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::Net;
/// let e = Loop::new()?.listen("127.0.0.1:99999", |conn| conn.reject()).unwrap_err();
/// assert_eq!(e.to_string(), "\"127.0.0.1:99999\" is no address: the port must be 0 to 65535");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// What was given.
    pub input: String,
    /// What is wrong with it.
    pub fault: AddressFault,
}

/// What is wrong with an address.
///
/// ```
/// assert_ne!(tidegate_net::AddressFault::NoPort, tidegate_net::AddressFault::BadPort);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressFault {
    /// `HOST` without `:PORT`.
    NoPort,
    /// The port is no number from 0 to 65535.
    BadPort,
    /// An IPv6 address without its brackets, or brackets around something else.
    BadHost,
    /// The path of a Unix domain socket is empty. (The system would listen on a name that it
    /// makes up.)
    EmptyPath,
    /// The path has a NUL byte: the system would take what stands before it. Only a name in
    /// Linux' abstract namespace has one, as its first byte.
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
        write!(f, "{:?} is no address: ", self.input)?;
        f.write_str(match self.fault {
            AddressFault::PathTooLong { bytes, most } => {
                return write!(f, "the path has {bytes} bytes, and {most} is the most");
            }
            AddressFault::EmptyPath => "the path is empty",
            AddressFault::NulInPath => "the path has a NUL byte",
            AddressFault::NoPort => "the port is missing; write HOST:PORT",
            AddressFault::BadPort => "the port must be 0 to 65535",
            AddressFault::BadHost => "write an IPv6 address in brackets, as [::1]:80",
        })
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

/// Whose queue was too long.
///
/// ```
/// assert_eq!(tidegate_net::Scope::Socket.to_string(), "write_limit");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// This connection's: `write_limit`.
    Socket,
    /// That of all connections together: `buffered_limit`.
    Loop,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Socket => "write_limit",
            Scope::Loop => "buffered_limit",
        })
    }
}

/// Why a connection is over.
///
/// ```
/// assert_eq!(tidegate_net::Reason::Ended.to_string(), "both sides ended");
/// assert!(!tidegate_net::Reason::Destroyed.is_error());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Both sides ended: the peer's FIN was read, ours is out.
    Ended,
    /// [`destroy`](crate::SocketCx::destroy) was called.
    Destroyed,
    /// An operation failed: see its stage. A connection that was never made
    /// ends this way, too.
    Failed(Arc<NetError>),
    /// A producer ignored [`Flow::Full`](tidegate_stream::Flow) until a limit
    /// was reached.
    WriteLimit {
        /// Which limit.
        scope: Scope,
        /// Bytes of memory that were queued.
        queued: usize,
        /// The limit.
        limit: usize,
    },
    /// A deadline passed.
    TimedOut(Timeout, Arc<NetError>),
    /// A pipe that it was an end of broke, for this reason, and closed both its ends.
    Piped(StreamError),
    /// A callback of this connection panicked.
    Panicked,
}

impl Reason {
    /// Whether this is anything but an ordinary end.
    pub fn is_error(&self) -> bool {
        !matches!(self, Reason::Ended | Reason::Destroyed)
    }

    /// The error, if an operation failed.
    pub fn error(&self) -> Option<&NetError> {
        match self {
            Reason::Failed(e) | Reason::TimedOut(_, e) => Some(e),
            _ => None,
        }
    }

    /// What errors of one kind have in common, for the log.
    fn alike(&self) -> impl Hash {
        let limit = match self {
            Reason::WriteLimit { scope, .. } => Some(*scope),
            _ => None,
        };
        (discriminant(self), limit, self.error().map(NetError::alike))
    }

    /// What this means to a pipe.
    pub(crate) fn result(&self) -> Result<(), StreamError> {
        Err(match self {
            Reason::Ended => return Ok(()),
            Reason::Destroyed => StreamError::Destroyed,
            Reason::Piped(e) => e.clone(),
            Reason::Failed(e) | Reason::TimedOut(_, e) => StreamError::Failed(e.clone()),
            Reason::WriteLimit { queued, limit, .. } => {
                StreamError::Limit { queued: *queued, limit: *limit }
            }
            Reason::Panicked => StreamError::Panicked,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Ended => f.write_str("both sides ended"),
            Reason::Destroyed => f.write_str("destroyed"),
            Reason::Failed(e) | Reason::TimedOut(_, e) => e.fmt(f),
            Reason::WriteLimit { scope, queued, limit } => {
                write!(f, "{queued} bytes were queued, {scope} is {limit}")
            }
            Reason::Piped(e) => write!(f, "its pipe broke: the other end {e}"),
            Reason::Panicked => f.write_str("a callback panicked"),
        }
    }
}

/// Whether the peer was told by a reset that this is no ordinary end.
///
/// ```
/// assert_eq!(tidegate_net::Reset::default(), tidegate_net::Reset::No);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reset {
    /// None was to be sent.
    #[default]
    No,
    /// It was sent: the peer's next read or write fails with `ECONNRESET`.
    Sent,
    /// A Unix domain socket cannot send one: the peer sees an ordinary end, and cannot tell
    /// that bytes are missing. (Linux: it sees `ECONNRESET` if bytes of it were not read;
    /// then this is `Sent`.) A protocol on such a socket needs an end of its own.
    Unsupported,
}

/// The one terminal event of a connection.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, On};
/// let mut lp = Loop::new()?;
/// lp.connect("127.0.0.1:1", On::new().close(|_, close| {
///     eprintln!("{close}"); // connect to 127.0.0.1:1 failed after 0.1 ms: ... (ECONNREFUSED)
///     assert_eq!(close.reason.error().unwrap().code(), Some("ECONNREFUSED"));
/// }));
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Close {
    /// Why.
    pub reason: Reason,
    /// The peer, where it was known.
    pub peer: Option<SocketAddr>,
    /// Bytes that were accepted for writing and did not reach the kernel.
    pub unsent: usize,
    /// Bytes read in all.
    pub bytes_read: u64,
    /// Bytes the kernel took in all.
    pub bytes_written: u64,
    /// Whether a pipe that the connection is an end of was told as well.
    pub piped: bool,
    /// What the peer sees of a connection that was cut off: by
    /// [`reset`](crate::SocketCx::reset), a limit, a panic, a pipe that broke, or a deadline
    /// or filter while bytes were queued or a pipe was not done.
    pub reset: Reset,
}

impl Close {
    /// What a handler does that has nothing to do.
    pub(crate) fn unhandled(&self, cx: &mut Cx<'_>) {
        if self.reason.is_error() && !self.piped {
            cx.driver().unhandled("tidegate::net", self.reason.alike(), format_args!("{self}"));
        }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        if self.unsent > 0 {
            write!(f, " ({} bytes unsent)", self.unsent)?;
        }
        if self.reset == Reset::Unsupported {
            f.write_str("; the peer sees an ordinary end: a Unix domain socket has no reset")?;
        }
        Ok(())
    }
}
