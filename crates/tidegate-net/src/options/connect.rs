//! How to connect: [`ConnectOptions`], every option with its default; and the user's own lookup.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidegate_loop::Cx;

use crate::block_list::BlockList;
use crate::callbacks::filter::{Factory, FilterFactory};
use crate::error::listen::AddressError;
use crate::key::SocketKey;
use crate::options::address::{At, Target, check_path};
use crate::options::back_off::BackOff;
use crate::options::stream::{StreamOptions, millis, refuse, stream_options};
use crate::proxy_protocol::header::ProxyHeader;
use crate::proxy_protocol::send::Sending;

/// Where and how to connect. A text (`"127.0.0.1:80"`, `"localhost:80"`) or an address turns into
/// it.
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
    pub(crate) back_off: BackOff,
    pub(crate) race: Race,
    pub(crate) block_list: Option<Arc<BlockList>>,
    pub(crate) lookup: Option<CustomLookup>,
    pub(crate) filters: Vec<Factory>,
    pub(crate) proxy_header: Option<Factory>,
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
    /// Both families in turn, beginning with the family of the lookup's first address.
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

/// How many addresses are tried, how many at once, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Race {
    pub(crate) addresses: usize,
    pub(crate) at_once: usize,
    /// Between two starts.
    pub(crate) delay: Duration,
    /// How long an attempt keeps its place if all are taken.
    pub(crate) patience: Duration,
}

impl Default for Race {
    fn default() -> Race {
        Race {
            addresses: 16,
            at_once: 4,
            delay: Duration::from_millis(250),
            patience: Duration::from_secs(5),
        }
    }
}

type Lookup = dyn Fn(&mut Cx<'_>, &str, LookupAnswer);

/// A lookup of the user's own.
#[derive(Clone)]
pub(crate) struct CustomLookup(pub(crate) Rc<Lookup>);

impl fmt::Debug for CustomLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomLookup")
    }
}

/// A connection that waits for the answer of your own lookup. If you drop this, no answer comes,
/// and only the connect timeout ends the wait.
///
/// ```
/// use tidegate_loop::Cx;
/// use tidegate_net::{LookupAnswer, LookupFault};
/// fn nobody_is_known(cx: &mut Cx<'_>, _host: &str, answer: LookupAnswer) {
///     answer.give(cx, Err(LookupFault::NotFound.into()));
/// }
/// # let _ = nobody_is_known;
/// ```
#[derive(Debug)]
pub struct LookupAnswer(pub(crate) SocketKey);

stream_options!(ConnectOptions);

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
            back_off: BackOff::new(1),
            race: Race::default(),
            block_list: None,
            lookup: None,
            filters: Vec::new(),
            proxy_header: None,
            stream: StreamOptions::default(),
        }
    }

    /// Whether [`connect`](crate::Net::connect) can understand the address: a program can say at its
    /// start that a setting is wrong. A name is not looked up.
    ///
    /// ```
    /// use tidegate_net::{AddressFault, ConnectOptions};
    /// assert!(ConnectOptions::new("localhost:80").check().is_ok());
    /// let e = ConnectOptions::new("localhost").check().unwrap_err();
    /// assert_eq!(e.fault, AddressFault::NoPort);
    /// ```
    pub fn check(&self) -> Result<(), AddressError> {
        match self.to.target()? {
            Target::Path(path) => check_path(&path),
            _ => Ok(()),
        }
    }

    /// Which of the name's addresses are tried; default: all. A numeric address of the other family
    /// is an error. Without a host the address is `127.0.0.1`, or `::1` for [`Family::V6`].
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

    /// How long the lookup, all attempts, and the filters until they are ready may take together.
    /// Zero, the default, and more than 49 days: as long as the system tries, which is about two
    /// minutes on Linux; then there is no limit for the filters.
    pub fn connect_timeout(mut self, after: Duration) -> ConnectOptions {
        self.timeout = millis(after);
        self
    }

    /// If it cannot be made, tries again: after a wait, from the lookup on. What was written waits
    /// meanwhile, and the loop stays alive. `on_close` comes after the last try, with its error,
    /// which says how many there were: [`NetError::tries`](crate::NetError::tries). To end it
    /// earlier, [`destroy`](crate::SocketCx::destroy) the connection. The
    /// [`connect_timeout`](ConnectOptions::connect_timeout) counts for each try from its beginning.
    ///
    /// Tried again is what another try can change: not an address that is not valid, one that an
    /// option or a permission forbids, nor filters that fail on a connection that was made. Nor
    /// does it connect again when a connection that was made is lost: see [`BackOff::delay`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{BackOff, ConnectOptions, Net, On};
    /// let mut lp = Loop::new()?;
    /// let back_off = BackOff::new(3).first_delay(Duration::from_millis(1));
    /// let to = ConnectOptions::new("127.0.0.1:1").back_off(back_off);
    /// lp.connect(to, On::new().close(|_, close| {
    ///     assert_eq!(close.reason.error().unwrap().tries(), 3);
    /// }));
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn back_off(mut self, back_off: BackOff) -> ConnectOptions {
        self.back_off = back_off;
        self
    }

    /// For a name with several addresses: the next attempt starts when the one before has failed,
    /// or this long after it, beside it (RFC 8305: 250 ms, the default; at least 10 ms).
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

    /// How many addresses of a name are tried at the same time, each with its own descriptor;
    /// default 4. 0 counts as 1. While that many attempts run, the next one starts when one of them
    /// fails, or when the oldest is given up: see
    /// [`attempt_timeout`](ConnectOptions::attempt_timeout).
    pub fn attempts_at_once(mut self, attempts: usize) -> ConnectOptions {
        self.race.at_once = attempts.max(1);
        self
    }

    /// While [`attempts_at_once`](ConnectOptions::attempts_at_once) are under way and another
    /// address waits, the oldest attempt is given up after this time without an answer: it is
    /// listed with the error kind `TimedOut`. Default 5 s, at least 10 ms. The last addresses of a
    /// name, behind which no other waits, are tried for as long as the system does, or until the
    /// [`connect_timeout`](ConnectOptions::connect_timeout).
    pub fn attempt_timeout(mut self, after: Duration) -> ConnectOptions {
        self.race.patience = after.max(Duration::from_millis(10));
        self
    }

    /// Addresses that must not be connected to: an attempt to one of them fails.
    pub fn block_list(mut self, list: impl Into<Arc<BlockList>>) -> ConnectOptions {
        self.block_list = Some(list.into());
        self
    }

    /// Puts a [`Filter`](crate::Filter) on the connection, which starts when it is made;
    /// `on_connect` comes when it is ready. A closure, or a type of your own. Given twice, the
    /// second filter is nearer to the user. The filter is made inside of `connect`.
    pub fn filter(mut self, factory: impl FilterFactory) -> ConnectOptions {
        self.stream.filter_no_delay |= factory.no_delay();
        self.filters.push(Factory(Arc::new(factory)));
        self
    }

    /// Sends a header of the PROXY protocol first, before any [`filter`](ConnectOptions::filter)
    /// speaks: the server behind takes the address in it for that of its client. A proxy gives the
    /// addresses of the connection that it passes on, or the header that came with it.
    ///
    /// ```
    /// use tidegate_net::{ConnectOptions, Incoming, ProxyHeader};
    /// fn upstream(conn: &mut Incoming<'_>) -> Option<ConnectOptions> {
    ///     let header = ProxyHeader::v2(conn.peer_addr()?, conn.local_addr().ok()?);
    ///     Some(ConnectOptions::new("10.0.0.7:80").proxy_header(header))
    /// }
    /// # let _ = upstream;
    /// ```
    pub fn proxy_header(mut self, header: ProxyHeader) -> ConnectOptions {
        self.proxy_header = Some(Factory(Arc::new(Sending(header.to_bytes().into()))));
        self
    }

    /// Looks names up with `f` instead of the system's resolver. `f` is called once in the pending
    /// phase, and answers then or later.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{ConnectOptions, Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     conn.accept(On::new()).end();
    /// })?;
    /// let port = lp.server(server).local_addr()?.port();
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

impl ConnectOptions {
    /// Connects to a path: a Unix domain socket. One that is empty, too long, or has a NUL
    /// after its first byte fails at stage `connect`, with an
    /// [`AddressError`](crate::AddressError) inside.
    pub fn unix(path: impl Into<PathBuf>) -> ConnectOptions {
        ConnectOptions::to(At::Unix(path.into()))
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
