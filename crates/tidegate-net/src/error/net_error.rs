//! [`NetError`]: what went wrong, with where and when: stage, code, endpoints, elapsed time,
//! and the [`Attempt`]s of a connect.
//!
//! How a connection ended is in `close.rs`, why a server could not listen in `listen.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::Hash;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_loop::OneLine;

use crate::error::fault::{LookupFault, Timeout};
use crate::error::filter_fault::FilterFault;
use crate::error::stage::Stage;
use crate::sys;

/// A network error: which step failed, at which endpoints, and when.
///
/// `Display` is always one line, also if the text of the source has more; `source` is the
/// [`io::Error`]. `{:?}` is the same text, for a `main` that returns it; `{:#?}` shows the fields.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use std::io::ErrorKind;
/// use tidegate_loop::Loop;
/// use tidegate_net::{ListenError, Net, Stage};
/// let mut lp = Loop::new()?;
/// let first = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// let at = lp.server(first).local_addr()?;
/// let again = lp.listen(at, |conn| conn.reject());
/// let Err(ListenError::Failed(e)) = again else { panic!() };
/// assert_eq!((e.stage(), e.kind(), e.code()), (Stage::Bind, ErrorKind::AddrInUse, Some("EADDRINUSE")));
/// # Ok::<(), std::io::Error>(())
/// ```
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
    tries: u32,
}

/// How many attempts a text lists.
const LISTED: usize = 8;

/// One address that was tried, and how that failed.
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
    /// The operating system's name of the error, such as `ECONNREFUSED`.
    pub fn code(&self) -> Option<&'static str> {
        self.error.raw_os_error().and_then(sys::code_name)
    }

    /// The system's error again.
    pub(crate) fn copy(&self) -> io::Error {
        copy(&self.error)
    }
}

/// The system's error again.
pub(crate) fn copy(e: &io::Error) -> io::Error {
    match e.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(e.kind(), e.to_string()),
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

    /// An error of a connection, whole.
    pub(crate) fn of(
        stage: Stage,
        source: io::Error,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
        elapsed: Duration,
    ) -> NetError {
        NetError { stage, source, local, remote, elapsed: Some(elapsed), tried: None }
    }

    pub(crate) fn tried(mut self, name: Option<String>, attempts: Vec<Attempt>) -> NetError {
        self.tried = Some(Box::new(Tried { name, attempts, untried: 0, tries: 1 }));
        self
    }

    pub(crate) fn untried_are(mut self, untried: usize) -> NetError {
        if let Some(tried) = &mut self.tried {
            tried.untried = untried;
        }
        self
    }

    pub(crate) fn tries_are(mut self, tries: u32) -> NetError {
        if let Some(tried) = &mut self.tried {
            tried.tries = tries;
        }
        self
    }

    /// For a connect with a [`BackOff`](crate::BackOff): how many tries there were; this is the
    /// error of the last one. Otherwise 1.
    pub fn tries(&self) -> u32 {
        self.tried.as_ref().map_or(1, |t| t.tries)
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
            0 => {}
            1 => f.write_str("; 1 address was not tried")?,
            n => write!(f, "; {n} addresses were not tried")?,
        }
        match self.tries() {
            1 => Ok(()),
            n => write!(f, "; this was try {n}"),
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

    /// The operating system's name of the error, such as `ECONNREFUSED`; for a lookup, such as
    /// `ENOTFOUND`; for a [`FilterFault`], its code.
    pub fn code(&self) -> Option<&'static str> {
        let named = || {
            let source = self.source.get_ref()?;
            let filter = || source.downcast_ref::<FilterFault>().map(|f| f.code);
            source.downcast_ref::<LookupFault>().map(|f| f.code()).or_else(filter)
        };
        self.source.raw_os_error().and_then(sys::code_name).or_else(named)
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

    /// The time until the failure: from the call of `connect`, or, for a connection that was made,
    /// from then.
    pub fn elapsed(&self) -> Option<Duration> {
        self.elapsed
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.stage == Stage::Application;
        // Not the application failed.
        let whole = own || self.stage == Stage::Truncated;
        if whole { Stage::Open } else { self.stage }.fmt(f)?;
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
            (Stage::Connect | Stage::Send, Some(remote), _) => write!(f, " to {remote}")?,
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

impl fmt::Debug for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return fmt::Display::fmt(self, f);
        }
        f.debug_struct("NetError")
            .field("stage", &self.stage)
            .field("source", &self.source)
            .field("local", &self.local)
            .field("remote", &self.remote)
            .field("elapsed", &self.elapsed)
            .field("tried", &self.tried)
            .finish()
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
