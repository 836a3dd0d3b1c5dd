//! Where to listen and where to connect, with every option and its default.
#![forbid(unsafe_code)]

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tidegate_loop::Cx;

use crate::address::At;
use crate::block_list::BlockList;
use crate::lookup::{CustomLookup, LookupAnswer};
use crate::race::Race;
use crate::sys;
use crate::timeout::{Deadlines, millis};

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
    pub(crate) backlog: Option<u32>,
    pub(crate) accept_budget: Option<u32>,
    pub(crate) reuse_port: bool,
    pub(crate) mode: Option<u32>,
    pub(crate) ipv6_only: Option<bool>,
    pub(crate) defer_accept: Option<Duration>,
    pub(crate) admission: Admission,
    pub(crate) stream: StreamOptions,
}

/// Who gets in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    pub(crate) max_connections: Option<usize>,
    pub(crate) at_limit: AtLimit,
    pub(crate) out_of_descriptors: OutOfDescriptors,
    pub(crate) block_list: Option<Arc<BlockList>>,
    pub(crate) pause_on_connect: bool,
}

/// What becomes of a connection beyond `max_connections`.
///
/// ```
/// assert_eq!(tidegate_net::AtLimit::default(), tidegate_net::AtLimit::Drop);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum AtLimit {
    /// It is accepted and closed, counted as dropped, and `on_overload` is told.
    #[default]
    Drop,
    /// It stays in the kernel's queue until another one is over. When that queue is full,
    /// the kernel lets clients wait, and gives up for them in time.
    Hold,
}

/// What becomes of connections when no descriptor is left for them.
///
/// ```
/// assert_eq!(tidegate_net::OutOfDescriptors::default(), tidegate_net::OutOfDescriptors::Hold);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OutOfDescriptors {
    /// They stay in the kernel's queue; it is tried again when a connection of this loop
    /// closes, and every 50 ms.
    #[default]
    Hold,
    /// They are accepted with a descriptor kept for that, and closed: clients see an end
    /// at once. They are counted as shed, and `on_overload` is told.
    Shed,
}

/// What accepted and connected sockets share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamOptions {
    pub(crate) allow_half_open: bool,
    pub(crate) high_water_mark: usize,
    pub(crate) write_limit: Option<usize>,
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) recv_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) deadlines: Deadlines,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions {
            allow_half_open: false,
            high_water_mark: 64 * 1024,
            write_limit: None,
            no_delay: false,
            keep_alive: None,
            recv_buffer: None,
            send_buffer: None,
            deadlines: Deadlines::default(),
        }
    }
}

impl StreamOptions {
    /// Sets what the kernel keeps for a socket: before listen or connect, so that the
    /// window of the handshake knows of the buffers.
    pub(crate) fn apply(&self, socket: SockRef<'_>) -> io::Result<()> {
        if let Some(bytes) = self.recv_buffer {
            set_recv_buffer(&socket, bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            set_send_buffer(&socket, bytes)?;
        }
        if self.no_delay {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(keep_alive) = self.keep_alive {
            keep_alive.apply(&socket)?;
        }
        Ok(())
    }

    /// Of the options, those that a Unix domain socket knows nothing of.
    pub(crate) fn only_tcp(&self) -> [(&'static str, bool); 2] {
        [("no_delay", self.no_delay), ("keep_alive", self.keep_alive.is_some())]
    }

    /// Whether [`apply`](StreamOptions::apply) has anything to do.
    pub(crate) fn has_any(&self) -> bool {
        self.no_delay
            || self.keep_alive.is_some()
            || self.recv_buffer.is_some()
            || self.send_buffer.is_some()
    }
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

/// Probes of a connection on which nothing moves, so that a peer that is gone without a
/// word is noticed: the first after `idle`, then one each `interval`, and after `count`
/// without an answer the connection is over with `ETIMEDOUT`. See tcp(7).
///
/// ```
/// use std::time::Duration;
/// use tidegate_net::KeepAlive;
/// let k = KeepAlive { idle: Duration::from_secs(30), ..KeepAlive::default() };
/// assert_eq!((k.interval, k.count), (Duration::from_secs(1), 10));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Rounded up to whole seconds; default 60.
    pub idle: Duration,
    /// Rounded up to whole seconds; default 1.
    pub interval: Duration,
    /// Default 10.
    pub count: u32,
}

impl Default for KeepAlive {
    fn default() -> KeepAlive {
        KeepAlive { idle: Duration::from_secs(60), interval: Duration::from_secs(1), count: 10 }
    }
}

impl KeepAlive {
    pub(crate) fn apply(self, socket: &SockRef<'_>) -> io::Result<()> {
        let second = Duration::from_secs(1);
        if self.idle < second || self.interval < second || self.count == 0 {
            let text = "keep-alive wants an idle time and an interval of a second or more, and a count of 1 or more";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // Whole ones, and never early.
        let up = |d: Duration| match d.subsec_nanos() {
            0 => d,
            _ => Duration::from_secs(d.as_secs().saturating_add(1)),
        };
        let params = TcpKeepalive::new().with_time(up(self.idle)).with_interval(up(self.interval));
        socket.set_tcp_keepalive(&sys::keep_alive_count(params, self.count))
    }
}

macro_rules! stream_options {
    ($options:ident) => {
        impl $options {
            /// Our side stays open after the peer's end; default off. What a pipe writes to
            /// stays open till the pipe ends it, either way.
            pub fn allow_half_open(mut self, on: bool) -> $options {
                self.stream.allow_half_open = on;
                self
            }

            /// Queued bytes at which a write returns `Full`; default 64 KiB.
            pub fn high_water_mark(mut self, bytes: usize) -> $options {
                self.stream.high_water_mark = bytes;
                self
            }

            /// Queued bytes at which a write destroys the connection; default: the
            /// loop's [`write_limit`](tidegate_loop::Limits::write_limit).
            pub fn write_limit(mut self, bytes: usize) -> $options {
                self.stream.write_limit = Some(bytes);
                self
            }

            /// Small pieces go out at once, instead of waiting for the answer to those
            /// before (`TCP_NODELAY`); default off.
            pub fn no_delay(mut self, on: bool) -> $options {
                self.stream.no_delay = on;
                self
            }

            /// Probes of a silent peer; default none.
            pub fn keep_alive(mut self, keep_alive: KeepAlive) -> $options {
                self.stream.keep_alive = Some(keep_alive);
                self
            }

            /// The kernel's buffer for what was not read yet (`SO_RCVBUF`). Linux sets
            /// aside twice as much, and stops adapting it. Default: the system's.
            pub fn recv_buffer(mut self, bytes: usize) -> $options {
                self.stream.recv_buffer = Some(bytes);
                self
            }

            /// The kernel's buffer for what was not acknowledged yet (`SO_SNDBUF`).
            pub fn send_buffer(mut self, bytes: usize) -> $options {
                self.stream.send_buffer = Some(bytes);
                self
            }

            /// After so long without a byte either way comes `on_timeout`, which closes
            /// unless it was overridden. Rounded up to milliseconds; zero, the default, and
            /// more than 49 days: never.
            pub fn idle_timeout(mut self, after: Duration) -> $options {
                self.stream.deadlines.idle_ms = millis(after);
                self
            }

            /// So long after it was made a connection is closed, whatever it does; one that
            /// is adopted, after it was adopted. Zero, the default, and more than 49 days: never.
            pub fn lifetime(mut self, after: Duration) -> $options {
                self.stream.deadlines.lifetime_ms = millis(after);
                self
            }

            /// A connection of which one side has ended is closed after so long without a
            /// byte; so is a paused one whose peer has ended. Zero, the default, and more than 49
            /// days: never.
            pub fn linger_timeout(mut self, after: Duration) -> $options {
                self.stream.deadlines.linger_ms = millis(after);
                self
            }
        }
    };
}

pub(crate) use stream_options;

stream_options!(ListenOptions);
stream_options!(ConnectOptions);

impl ListenOptions {
    /// Listens there with the default options.
    pub fn new(at: impl Into<ListenOptions>) -> ListenOptions {
        at.into()
    }

    pub(crate) fn at(at: At) -> ListenOptions {
        ListenOptions {
            at,
            backlog: None,
            accept_budget: None,
            reuse_port: false,
            mode: None,
            ipv6_only: None,
            defer_accept: None,
            admission: Admission::default(),
            stream: StreamOptions::default(),
        }
    }

    /// Connections the kernel may keep for us; default 511. The system clamps
    /// it (Linux: `net.core.somaxconn`). See listen(2). An error with a socket that listens
    /// already.
    pub fn backlog(mut self, connections: u32) -> ListenOptions {
        self.backlog = Some(connections);
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

    /// An IPv6 address takes IPv6 alone (true), or IPv4 as well, mapped (false). Default:
    /// both if no host is given, else the system's. An error with an IPv4 address.
    pub fn ipv6_only(mut self, on: bool) -> ListenOptions {
        self.ipv6_only = Some(on);
        self
    }

    /// The kernel gives us a connection only when bytes have come, or after about this
    /// long (`TCP_DEFER_ACCEPT`; Linux, elsewhere an error). Rounded up to whole seconds, at
    /// least one. Default off.
    pub fn defer_accept(mut self, at_most: Duration) -> ListenOptions {
        self.defer_accept = Some(at_most);
        self
    }

    /// Connections that may be open at once, and what becomes of the next. Default: no
    /// limit. 0 lets nobody in. Of an open server it is changed by
    /// [`set_max_connections`](crate::Net::set_max_connections).
    pub fn max_connections(mut self, connections: usize, beyond: AtLimit) -> ListenOptions {
        self.admission.max_connections = Some(connections);
        self.admission.at_limit = beyond;
        self
    }

    /// What to do when no descriptor is left; default: hold.
    pub fn out_of_descriptors(mut self, policy: OutOfDescriptors) -> ListenOptions {
        self.admission.out_of_descriptors = policy;
        self
    }

    /// Peers that are closed at once, without a callback; counted as blocked.
    pub fn block_list(mut self, list: impl Into<Arc<BlockList>>) -> ListenOptions {
        self.admission.block_list = Some(list.into());
        self
    }

    /// Connections begin paused: nothing is read before `resume`. Default off.
    pub fn pause_on_connect(mut self, on: bool) -> ListenOptions {
        self.admission.pause_on_connect = on;
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
    pub(crate) family: Family,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) local_port: u16,
    pub(crate) timeout: u32,
    pub(crate) race: Race,
    pub(crate) block_list: Option<Arc<BlockList>>,
    pub(crate) lookup: Option<CustomLookup>,
    pub(crate) stream: StreamOptions,
}

/// Which addresses of a name are tried.
///
/// ```
/// assert_eq!(tidegate_net::Family::default(), tidegate_net::Family::Any);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Family {
    /// All, in turns, beginning with the family that the lookup names first.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    pub(crate) fn has(self, ip: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        }
    }
}

impl ConnectOptions {
    /// Connects there with the default options.
    pub fn new(to: impl Into<ConnectOptions>) -> ConnectOptions {
        to.into()
    }

    pub(crate) fn to(to: At) -> ConnectOptions {
        ConnectOptions {
            to,
            family: Family::default(),
            local_ip: None,
            local_port: 0,
            timeout: 0,
            race: Race::default(),
            block_list: None,
            lookup: None,
            stream: StreamOptions::default(),
        }
    }

    /// Which of the name's addresses are tried; default: all. A number of the other family is
    /// an error; without a host it is `127.0.0.1`, or `::1` for [`Family::V6`].
    pub fn family(mut self, family: Family) -> ConnectOptions {
        self.family = family;
        self
    }

    /// Our own address; default: what the system's routes say.
    pub fn local_address(mut self, ip: IpAddr) -> ConnectOptions {
        self.local_ip = Some(ip);
        self
    }

    /// Our own port; default 0, any.
    pub fn local_port(mut self, port: u16) -> ConnectOptions {
        self.local_port = port;
        self
    }

    /// Everything together, the lookup and all attempts, may take so long. Zero, the
    /// default, and more than 49 days: as long as the system tries, which is about two minutes on Linux.
    pub fn connect_timeout(mut self, after: Duration) -> ConnectOptions {
        self.timeout = millis(after);
        self
    }

    /// A name with several addresses: the next is tried when the one before has failed,
    /// or after so long beside it (RFC 8305: 250 ms, the default; at least 10 ms).
    pub fn attempt_delay(mut self, delay: Duration) -> ConnectOptions {
        self.race.delay = delay.max(Duration::from_millis(10));
        self
    }

    /// How many addresses of a name are tried at most, the families in turns; default 16.
    /// 0 counts as 1. [`NetError::untried`](crate::NetError::untried) says how many were left
    /// out.
    pub fn max_addresses(mut self, addresses: usize) -> ConnectOptions {
        self.race.addresses = addresses.max(1);
        self
    }

    /// How many addresses of a name are tried at the same time, each with a descriptor of its
    /// own; default 4. 0 counts as 1. While so many are under way, the next starts when one of
    /// them fails, or when the oldest gives way: see
    /// [`attempt_timeout`](ConnectOptions::attempt_timeout).
    pub fn attempts_at_once(mut self, attempts: usize) -> ConnectOptions {
        self.race.at_once = attempts.max(1);
        self
    }

    /// While [`attempts_at_once`](ConnectOptions::attempts_at_once) are under way and another
    /// address waits, the oldest attempt is given up after so long without an answer: it is
    /// listed with the error kind `TimedOut`. Default 5 s, at least 10 ms. The last addresses
    /// of a name, for which nobody waits, are tried for as long as the system does, or until
    /// the [`connect_timeout`](ConnectOptions::connect_timeout).
    pub fn attempt_timeout(mut self, after: Duration) -> ConnectOptions {
        self.race.patience = after.max(Duration::from_millis(10));
        self
    }

    /// Addresses that are not connected to: such an attempt fails.
    pub fn block_list(mut self, list: impl Into<Arc<BlockList>>) -> ConnectOptions {
        self.block_list = Some(list.into());
        self
    }

    /// Looks names up in a way of your own, in place of the system's. `f` is called once in
    /// the pending phase and answers then or later.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{ConnectOptions, Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     let server = conn.server();
    ///     conn.close_server(server).unwrap();
    ///     conn.accept(On::new()).end();
    /// })?;
    /// let port = lp.local_addr(server)?.port();
    /// let options = ConnectOptions::new(("tide.example", port)).lookup(|cx, host, answer| {
    ///     assert_eq!(host, "tide.example");
    ///     answer.give(cx, Ok(vec!["127.0.0.1".parse().unwrap()]));
    /// });
    /// lp.connect(options, On::new());
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lookup(
        mut self,
        f: impl Fn(&mut Cx<'_>, &str, LookupAnswer) + 'static,
    ) -> ConnectOptions {
        self.lookup = Some(CustomLookup(Rc::new(f)));
        self
    }
}

impl ListenOptions {
    /// As listen(2) takes it.
    pub(crate) fn queue_length(&self) -> i32 {
        i32::try_from(self.backlog.unwrap_or(511)).unwrap_or(i32::MAX)
    }

    /// Whether every option that is set has a meaning where it is to listen.
    pub(crate) fn check(&self) -> io::Result<()> {
        let before_bind =
            [("reuse_port", self.reuse_port), ("ipv6_only", self.ipv6_only.is_some())];
        let mode = ("mode", self.mode.is_some());
        match &self.at {
            At::Unix(path) => {
                if sys::is_abstract(path) {
                    refuse([mode], "a name without a file")?;
                }
                let defer = ("defer_accept", self.defer_accept.is_some());
                let block = ("block_list", self.admission.block_list.is_some());
                let tcp = self.stream.only_tcp();
                let all = before_bind.into_iter().chain(tcp).chain([defer, block]);
                refuse(all, "a Unix domain socket")
            }
            At::Adopted(_) => {
                let backlog = ("backlog", self.backlog.is_some());
                let all = before_bind.into_iter().chain([mode, backlog]);
                refuse(all, "a socket that listens already")
            }
            At::Text(_) | At::Addr(_) | At::Port(_) => refuse([mode], "an address"),
        }
    }
}

impl ConnectOptions {
    /// Whether every option that is set has a meaning for a Unix domain socket.
    pub(crate) fn check_unix(&self) -> io::Result<()> {
        let own = [
            ("family", self.family != Family::Any),
            ("local_address", self.local_ip.is_some()),
            ("local_port", self.local_port != 0),
            ("block_list", self.block_list.is_some()),
            ("lookup", self.lookup.is_some()),
        ];
        refuse(own.into_iter().chain(self.stream.only_tcp()), "a Unix domain socket")
    }
}
