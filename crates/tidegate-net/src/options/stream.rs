//! The options that every connection has, accepted, connected or adopted; their deadlines, and
//! TCP's keep-alive.
//!
//! `stream_options!` gives their setters to the three types of options.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::options::limits::NetLimits;
use crate::sys;

/// What accepted and connected sockets share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamOptions {
    pub(crate) allow_half_open: bool,
    pub(crate) high_water_mark: usize,
    pub(crate) write_limit: Option<usize>,
    pub(crate) no_delay: Option<bool>,
    /// A filter asks for it, where the user says nothing.
    pub(crate) filter_no_delay: bool,
    pub(crate) keep_alive: Option<TcpKeepAlive>,
    pub(crate) recv_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) deadlines: DeadlineOptions,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions {
            allow_half_open: false,
            high_water_mark: 64 * 1024,
            write_limit: None,
            no_delay: None,
            filter_no_delay: false,
            keep_alive: None,
            recv_buffer: None,
            send_buffer: None,
            deadlines: DeadlineOptions::default(),
        }
    }
}

impl StreamOptions {
    /// What is not set is the loop's.
    pub(crate) fn complete(&mut self, limits: &NetLimits) {
        self.write_limit.get_or_insert(limits.write_limit);
    }

    /// What can be said before there is a socket.
    pub(crate) fn check(&self) -> io::Result<()> {
        self.keep_alive.map_or(Ok(()), TcpKeepAlive::check)
    }

    /// Sets what the kernel keeps for a socket: before listen or connect, so that the
    /// window of the handshake knows of the buffers.
    pub(crate) fn apply(&self, socket: SockRef<'_>) -> io::Result<()> {
        if let Some(bytes) = self.recv_buffer {
            set_recv_buffer(&socket, bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            set_send_buffer(&socket, bytes)?;
        }
        match self.no_delay {
            Some(true) => socket.set_tcp_nodelay(true)?,
            // A Unix domain socket has none.
            None if self.filter_no_delay => drop(socket.set_tcp_nodelay(true)),
            _ => {}
        }
        if let Some(keep_alive) = self.keep_alive {
            keep_alive.apply(&socket)?;
        }
        Ok(())
    }

    /// Of the options, those that a Unix domain socket knows nothing of.
    pub(crate) fn only_tcp(&self) -> [(&'static str, bool); 2] {
        [("no_delay", self.no_delay == Some(true)), ("keep_alive", self.keep_alive.is_some())]
    }

    /// Whether [`apply`](StreamOptions::apply) has anything to do.
    pub(crate) fn has_any(&self) -> bool {
        self.no_delay.unwrap_or(self.filter_no_delay)
            || self.keep_alive.is_some()
            || self.recv_buffer.is_some()
            || self.send_buffer.is_some()
    }
}

/// DeadlineOptions as options give them: milliseconds, 0 for none.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct DeadlineOptions {
    pub(crate) idle_ms: u32,
    pub(crate) lifetime_ms: u32,
    pub(crate) linger_ms: u32,
}

impl DeadlineOptions {
    pub(crate) fn has_any(&self) -> bool {
        self.idle_ms != 0 || self.lifetime_ms != 0 || self.linger_ms != 0
    }
}

/// Whole milliseconds, rounded up: a deadline is never early. More than fits, 49 days, is
/// never.
pub(crate) fn millis(d: Duration) -> u32 {
    let up = d.as_nanos().div_ceil(1_000_000);
    u32::try_from(up).unwrap_or(0)
}

/// The system's number is an int: of one that is larger it would take the lower half.
const MOST_BUFFER: usize = i32::MAX as usize;

pub(crate) fn set_recv_buffer(socket: &SockRef<'_>, bytes: usize) -> io::Result<()> {
    socket.set_recv_buffer_size(bytes.min(MOST_BUFFER))
}

pub(crate) fn set_send_buffer(socket: &SockRef<'_>, bytes: usize) -> io::Result<()> {
    socket.set_send_buffer_size(bytes.min(MOST_BUFFER))
}

/// An option that does not apply is an error, never ignored.
pub(crate) fn refuse(
    options: impl IntoIterator<Item = (&'static str, bool)>,
    by: &'static str,
) -> io::Result<()> {
    match options.into_iter().find(|(_, set)| *set) {
        Some((name, _)) => {
            let text = format!("{name} does not apply to {by}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
        None => Ok(()),
    }
}

/// Probes of a silent connection, to detect a peer that is gone: the first after `idle`, then one
/// every `interval`. After `count` probes without an answer the connection ends with `ETIMEDOUT`.
/// See tcp(7).
///
/// ```
/// use std::time::Duration;
/// use tidegate_net::TcpKeepAlive;
/// let k = TcpKeepAlive { idle: Duration::from_secs(30), ..TcpKeepAlive::default() };
/// assert_eq!((k.interval, k.count), (Duration::from_secs(1), 10));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpKeepAlive {
    /// Rounded up to whole seconds; default 60.
    pub idle: Duration,
    /// Rounded up to whole seconds; default 1.
    pub interval: Duration,
    /// Default 10. Where a system has no such option for one connection (OpenBSD, Windows before
    /// 10 1703), its own number counts.
    pub count: u32,
}

impl Default for TcpKeepAlive {
    fn default() -> TcpKeepAlive {
        TcpKeepAlive { idle: Duration::from_secs(60), interval: Duration::from_secs(1), count: 10 }
    }
}

impl TcpKeepAlive {
    fn check(self) -> io::Result<()> {
        let second = Duration::from_secs(1);
        if self.idle < second || self.interval < second || self.count == 0 {
            let text = "keep_alive needs an idle time and an interval of at least a second, and a count of at least 1";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(())
    }

    pub(crate) fn apply(self, socket: &SockRef<'_>) -> io::Result<()> {
        self.check()?;
        // Whole ones, and never early.
        let up = |d: Duration| match d.subsec_nanos() {
            0 => d,
            _ => Duration::from_secs(d.as_secs().saturating_add(1)),
        };
        let params = TcpKeepalive::new().with_time(up(self.idle)).with_interval(up(self.interval));
        sys::set_keep_alive(socket, &params, self.count)
    }
}

macro_rules! stream_options {
    ($options:ident) => {
        impl $options {
            /// Our side stays open after the peer's end; default off. A connection that a pipe
            /// writes to stays open until the pipe ends it, with or without this option.
            pub fn allow_half_open(mut self, on: bool) -> $options {
                self.stream.allow_half_open = on;
                self
            }

            /// A write returns `Full` when this many bytes are queued; default 64 KiB.
            pub fn high_water_mark(mut self, bytes: usize) -> $options {
                self.stream.high_water_mark = bytes;
                self
            }

            /// A write while more than this many bytes are queued destroys the connection; default:
            /// the loop's [`write_limit`](crate::NetLimits::write_limit). More than 4 GiB
            /// counts as that.
            pub fn write_limit(mut self, bytes: usize) -> $options {
                self.stream.write_limit = Some(bytes);
                self
            }

            /// Small writes go out at once, instead of waiting for the acknowledgement of earlier
            /// ones (`TCP_NODELAY`); default on with TLS, otherwise off: then the second of two
            /// small writes may wait 40 ms. [`cork`](crate::SocketCx::cork) and
            /// [`write_gathered`](crate::SocketCx::write_gathered) make one of them.
            pub fn no_delay(mut self, on: bool) -> $options {
                self.stream.no_delay = Some(on);
                self
            }

            /// Probes of a silent peer; default none.
            pub fn keep_alive(
                mut self,
                keep_alive: $crate::options::stream::TcpKeepAlive,
            ) -> $options {
                self.stream.keep_alive = Some(keep_alive);
                self
            }

            /// The size of the kernel's buffer for bytes that were not read yet (`SO_RCVBUF`).
            /// Linux reserves twice as much, and no longer adapts the size. Default: the system's.
            pub fn recv_buffer(mut self, bytes: usize) -> $options {
                self.stream.recv_buffer = Some(bytes);
                self
            }

            /// The size of the kernel's buffer for bytes that were not acknowledged yet
            /// (`SO_SNDBUF`).
            pub fn send_buffer(mut self, bytes: usize) -> $options {
                self.stream.send_buffer = Some(bytes);
                self
            }

            /// When no byte has moved in either direction for this long, `on_timeout` is called,
            /// which by default closes the connection. Rounded up to milliseconds; zero, the
            /// default, and more than 49 days: never.
            pub fn idle_timeout(mut self, after: std::time::Duration) -> $options {
                self.stream.deadlines.idle_ms = $crate::options::stream::millis(after);
                self
            }

            /// A connection is closed this long after it was made (or adopted), even if bytes move.
            /// Zero, the default, and more than 49 days: never.
            pub fn lifetime(mut self, after: std::time::Duration) -> $options {
                self.stream.deadlines.lifetime_ms = $crate::options::stream::millis(after);
                self
            }

            /// A connection of which one side has ended is closed when no byte has moved for this
            /// long; so is a paused connection whose peer has ended. Zero, the default, and more
            /// than 49 days: never.
            pub fn linger_timeout(mut self, after: std::time::Duration) -> $options {
                self.stream.deadlines.linger_ms = $crate::options::stream::millis(after);
                self
            }
        }
    };
}

pub(crate) use stream_options;
