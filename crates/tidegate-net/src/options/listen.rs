//! How a server listens and whom it lets in: [`ListenOptions`], every option with its default.
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_stream::Rate;

use crate::block_list::BlockList;
use crate::callbacks::filter::{Factory, FilterFactory};
use crate::limit::groups::Groups;
use crate::limit::peers::PerPeer;
use crate::options::address::At;
use crate::options::stream::{StreamOptions, millis, refuse, stream_options};
use crate::proxy_protocol::accept::ProxyProtocol;
use crate::sys;

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
/// assert_ne!(lp.server(server).local_addr()?.port(), 0);
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
    pub(crate) per_peer: PerPeer,
    pub(crate) pause_on_connect: bool,
    pub(crate) gate: Gate,
}

impl Admission {
    /// Whether a connection has to pass a block list, limits of its peer, or filters.
    pub(crate) fn is_guarded(&self) -> bool {
        let limits = self.per_peer.most.is_some() || self.per_peer.rate.is_some();
        self.block_list.is_some() || limits || !self.gate.filters.is_empty()
    }
}

/// What connections pass before they are offered.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) filters: Vec<Factory>,
    pub(crate) handshake_ms: u32,
    /// How many connections may go on in one turn.
    pub(crate) per_turn: u32,
    /// A filter says who the peer is.
    pub(crate) names_peer: bool,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { filters: Vec::new(), handshake_ms: 10_000, per_turn: u32::MAX, names_peer: false }
    }
}

/// What happens to a connection beyond `max_connections`.
///
/// ```
/// assert_eq!(tidegate_net::AtLimit::default(), tidegate_net::AtLimit::Drop);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum AtLimit {
    /// It is accepted, closed and counted in [`ServerStats::dropped`](crate::ServerStats::dropped),
    /// and `on_overload` is called.
    #[default]
    Drop,
    /// It stays in the kernel's queue until another connection closes. When that queue is full,
    /// clients wait, and time out in the end.
    Hold,
}

/// What happens to connections when no descriptor is left for them.
///
/// ```
/// assert_eq!(tidegate_net::OutOfDescriptors::default(), tidegate_net::OutOfDescriptors::Hold);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OutOfDescriptors {
    /// They stay in the kernel's queue. The server tries again when a connection of this loop
    /// closes, and every 50 ms.
    #[default]
    Hold,
    /// They are accepted with a descriptor that is reserved for this, and closed: clients see an
    /// end at once. They are counted as shed, and `on_overload` is called.
    Shed,
}

stream_options!(ListenOptions);

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

    /// How many connections may wait in the kernel; default 511. The system has a maximum (Linux:
    /// `net.core.somaxconn`). See listen(2). A socket that listens already keeps its own, unless
    /// this is set: then it is changed, also for other processes that have the socket. On Windows
    /// that is an error.
    pub fn backlog(mut self, connections: u32) -> ListenOptions {
        self.backlog = Some(connections);
        self
    }

    /// Connections accepted in one turn; default: the loop's
    /// [`accept_budget`](crate::NetLimits::accept_budget). 0 counts as 1.
    pub fn accept_budget(mut self, connections: u32) -> ListenOptions {
        self.accept_budget = Some(connections.max(1));
        self
    }

    /// Several loops or processes share the port, and the system spreads the connections over them
    /// (`SO_REUSEPORT`, on FreeBSD `SO_REUSEPORT_LB`); default off. An error where the system does
    /// not spread them, as on macOS and Windows.
    pub fn reuse_port(mut self, on: bool) -> ListenOptions {
        self.reuse_port = on;
        self
    }

    /// An IPv6 address accepts IPv6 only (true), or also IPv4, as mapped addresses (false).
    /// Default: both if no host is given, else the system's. An error with an IPv4 address.
    pub fn ipv6_only(mut self, on: bool) -> ListenOptions {
        self.ipv6_only = Some(on);
        self
    }

    /// The kernel reports a connection only when bytes have come, or after about this long
    /// (`TCP_DEFER_ACCEPT`; Linux, elsewhere an error). Rounded up to whole seconds, at least one.
    /// Default off.
    pub fn defer_accept(mut self, at_most: Duration) -> ListenOptions {
        self.defer_accept = Some(at_most);
        self
    }

    /// Connections that may be open at once, and what happens to the next. Default: no limit. 0
    /// accepts none. For an open server, change it with
    /// [`ServerCx::set_max_connections`](crate::ServerCx::set_max_connections).
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

    /// Peers whose connections are closed at once, without a callback, and counted as blocked.
    pub fn block_list(mut self, list: impl Into<Arc<BlockList>>) -> ListenOptions {
        self.admission.block_list = Some(list.into());
        self
    }

    /// Connections that one peer may have open at once. The next is closed at once, without a
    /// callback, and counted as limited. Default: no limit; 0 accepts none. Peers behind one
    /// address (NAT, a proxy without [`proxy_protocol`](ListenOptions::proxy_protocol)) count as
    /// one.
    ///
    /// ```
    /// use tidegate_net::{ListenOptions, Rate};
    /// let options = ListenOptions::new(":80").max_per_peer(20).accept_rate(Rate::per_second(5));
    /// # let _ = options;
    /// ```
    pub fn max_per_peer(mut self, connections: usize) -> ListenOptions {
        self.admission.per_peer.most = Some(connections);
        self
    }

    /// How often one peer may connect. A connection that comes earlier is closed at once, without a
    /// callback, and counted as limited. 65,536 peers are kept; one that is forgotten begins with a
    /// whole burst. Default: no limit. See [`RateLimiter`](crate::RateLimiter).
    pub fn accept_rate(mut self, rate: Rate) -> ListenOptions {
        self.admission.per_peer.rate = Some(rate);
        self
    }

    /// How many bits of an address of IPv4, and of one of IPv6, say which peer it is; default 32
    /// and 64: in a network of IPv6 a host can take any address.
    pub fn group_peers_by(mut self, v4_bits: u8, v6_bits: u8) -> ListenOptions {
        self.admission.per_peer.groups = Groups { v4: v4_bits, v6: v6_bits };
        self
    }

    /// Connections begin paused: nothing is read before `resume`. Default off.
    pub fn pause_on_connect(mut self, on: bool) -> ListenOptions {
        self.admission.pause_on_connect = on;
        self
    }

    /// Puts a [`Filter`](crate::Filter) on each connection when it is accepted; `on_connection`
    /// comes when it is ready. A closure, or a type of your own. Given twice, the second filter
    /// is nearer to the user. A connection that waits for its filters counts to
    /// [`max_connections`](ListenOptions::max_connections); if it ends before they are ready, or
    /// a filter fails in the same pass in which the last of them became ready,
    /// [`on_refused`](crate::ServerHandler::on_refused) is called.
    pub fn filter(mut self, factory: impl FilterFactory) -> ListenOptions {
        let at = self.admission.gate.filters.len();
        self.add_filter(at, factory);
        self
    }

    fn add_filter(&mut self, at: usize, factory: impl FilterFactory) {
        let gate = &mut self.admission.gate;
        gate.per_turn = gate.per_turn.min(factory.handshakes_per_turn().max(1));
        gate.names_peer |= factory.names_peer();
        self.stream.filter_no_delay |= factory.no_delay();
        gate.filters.insert(at, Factory(Arc::new(factory)));
    }

    /// Every connection begins with a header of the PROXY protocol, which haproxy and other load
    /// balancers send: who their client is. It comes before all filters. From then on
    /// [`peer_addr`](crate::SocketCx::peer_addr), the block list, limits per peer, errors, events
    /// and the log have the client's address. A peer that is not trusted, a connection without a
    /// header and one with a wrong header are refused: see
    /// [`ProxyFault`](crate::ProxyFault). [`handshake_timeout`](ListenOptions::handshake_timeout)
    /// bounds the wait.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{ConnectOptions, ListenOptions, Net, On, ProxyHeader, ProxyProtocol};
    /// let mut lp = Loop::new()?;
    /// let expected = ProxyProtocol::new("127.0.0.1".parse()?);
    /// let options = ListenOptions::new("127.0.0.1:0").proxy_protocol(expected);
    /// let server = lp.listen(options, |mut conn| {
    ///     assert_eq!(conn.peer_addr(), "192.0.2.7:51000".parse().ok());
    ///     assert!(conn.transport_peer().unwrap().ip().is_loopback());
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     conn.accept(On::new());
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// let header = ProxyHeader::v1("192.0.2.7:51000".parse()?, "198.51.100.1:443".parse()?);
    /// lp.connect(ConnectOptions::new(at).proxy_header(header), On::new().connect(|s| s.end()));
    /// lp.run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn proxy_protocol(mut self, expected: ProxyProtocol) -> ListenOptions {
        self.add_filter(0, expected);
        self
    }

    /// A connection whose filters are not ready so long after it was accepted is closed
    /// ([`Timeout::Handshake`](crate::Timeout::Handshake)). Default 10 s; zero, and more than 49
    /// days: never. Without a filter it has no meaning.
    pub fn handshake_timeout(mut self, after: Duration) -> ListenOptions {
        self.admission.gate.handshake_ms = millis(after);
        self
    }
}

impl ListenOptions {
    /// Listens on a path: a Unix domain socket. The path must not exist yet (`EADDRINUSE`); the
    /// file is removed when the server closes. A path that begins with a NUL is a name in Linux'
    /// abstract namespace. See unix(7); an error on systems without them. A path that is empty, too
    /// long, or has a NUL elsewhere is a [`ListenError::Address`](crate::ListenError::Address).
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{ConnectOptions, ListenOptions, Net, On};
    /// # if cfg!(unix) {
    /// let path = std::env::temp_dir().join(format!("tidegate-doc-{}", std::process::id()));
    /// let mut lp = Loop::new()?;
    /// lp.listen(ListenOptions::unix(&path).mode(0o600), |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
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

impl ListenOptions {
    /// Whether these options say where to listen over TCP: not on a path, and not on a socket that
    /// listens already.
    ///
    /// ```
    /// use tidegate_net::ListenOptions;
    /// assert!(ListenOptions::new(":80").is_tcp() && !ListenOptions::unix("/run/tide").is_tcp());
    /// ```
    pub fn is_tcp(&self) -> bool {
        matches!(self.at, At::Text(_) | At::Host(..) | At::Addr(_) | At::Port(_))
    }

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
                // With a header a peer has an address.
                let named = self.admission.gate.names_peer;
                let block = ("block_list", self.admission.block_list.is_some() && !named);
                let PerPeer { most, rate, .. } = self.admission.per_peer;
                let most = ("max_per_peer", most.is_some() && !named);
                let rate = ("accept_rate", rate.is_some() && !named);
                let tcp = self.stream.only_tcp();
                let own = [defer, block, most, rate];
                let all = before_bind.into_iter().chain(tcp).chain(own);
                refuse(all, "a Unix domain socket")
            }
            At::Adopted(_) => {
                let backlog = ("backlog", self.backlog.is_some() && !sys::LISTEN_AGAIN);
                let all = before_bind.into_iter().chain([mode, backlog]);
                refuse(all, "a socket that listens already")
            }
            At::Text(_) | At::Host(..) | At::Addr(_) | At::Port(_) => refuse([mode], "an address"),
        }
    }
}
