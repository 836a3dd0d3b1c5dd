//! [`Agent`]: how connections are made and kept.
#![forbid(unsafe_code)]

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tidegate_net::ConnectOptions;

use crate::client::origin::Origin;
use crate::codec::Limits;

/// Which free connection is used first.
///
/// ```
/// assert_eq!(tidegate_http::Scheduling::default(), tidegate_http::Scheduling::Lifo);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scheduling {
    /// The one that was used last: few connections stay busy, the others expire.
    #[default]
    Lifo,
    /// The one that was free longest: all stay in use, so that load balancers see them alike.
    Fifo,
}

type Options = dyn Fn(&Origin, ConnectOptions) -> ConnectOptions;

/// How an agent makes connections and keeps them for the next request. Give it to
/// [`HttpClient::http_agent`](crate::HttpClient::http_agent).
///
/// ```
/// use std::time::Duration;
/// use tidegate_http::{Agent, HttpClient};
/// let mut lp = tidegate_loop::Loop::new()?;
/// let agent = lp.http_agent(Agent::new().max_sockets(8).keep_alive(Duration::from_secs(2)))?;
/// # let _ = agent;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Agent {
    pub(crate) max_sockets: usize,
    pub(crate) max_total: usize,
    pub(crate) max_free: usize,
    pub(crate) max_free_total: usize,
    pub(crate) max_pending: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) most_keep_alive: Duration,
    pub(crate) check_after: Duration,
    pub(crate) scheduling: Scheduling,
    pub(crate) limits: Limits,
    pub(crate) join_folded: bool,
    pub(crate) connect: Option<Rc<Options>>,
    pub(crate) secure: Option<Rc<Options>>,
}

impl Default for Agent {
    fn default() -> Agent {
        Agent {
            max_sockets: 256,
            max_total: 1024,
            max_free: 32,
            max_free_total: 256,
            max_pending: 1024,
            keep_alive: Duration::from_secs(4),
            most_keep_alive: Duration::from_secs(600),
            check_after: Duration::from_secs(1),
            scheduling: Scheduling::Lifo,
            limits: Limits { max_head: 64 * 1024, ..Limits::default() },
            join_folded: false,
            connect: None,
            secure: None,
        }
    }
}

impl Agent {
    /// With default options.
    pub fn new() -> Agent {
        Agent::default()
    }

    /// Connections to one origin; default 256, at least 1.
    pub fn max_sockets(mut self, most: usize) -> Agent {
        self.max_sockets = most.max(1);
        self
    }

    /// Connections in all; default 1024, at least 1. A free connection of another origin leaves its
    /// place when it is needed.
    pub fn max_total(mut self, most: usize) -> Agent {
        self.max_total = most.max(1);
        self
    }

    /// Free connections that are kept for one origin; default 32. 0: every request gets a
    /// new connection.
    pub fn max_free(mut self, most: usize) -> Agent {
        self.max_free = most;
        self
    }

    /// Free connections that are kept in all; default 256. Beyond it the one that was free longest
    /// is closed.
    pub fn max_free_total(mut self, most: usize) -> Agent {
        self.max_free_total = most;
        self
    }

    /// Requests that wait because a limit of connections is reached; default 1024. The next one
    /// fails with [`RequestCause::PoolFull`](crate::RequestCause::PoolFull).
    pub fn max_pending(mut self, most: usize) -> Agent {
        self.max_pending = most;
        self
    }

    /// How long a free connection is kept if its server does not say how long it keeps it; default
    /// 4 s. If it says so (`Keep-Alive: timeout=N`), it is one second less than that, and at most
    /// ten minutes.
    pub fn keep_alive(mut self, time: Duration) -> Agent {
        self.keep_alive = time;
        self
    }

    /// Before a connection is used that was free for this long, one system call asks the kernel
    /// whether it is still there; default 1 s.
    pub fn check_after(mut self, time: Duration) -> Agent {
        self.check_after = time;
        self
    }

    /// Which free connection is used first.
    pub fn scheduling(mut self, scheduling: Scheduling) -> Agent {
        self.scheduling = scheduling;
        self
    }

    /// How large the parts of an answer may be; by default those of a server, but 64 KiB for a head.
    pub fn limits(mut self, limits: Limits) -> Agent {
        self.limits = limits;
        self
    }

    /// Whether an answer may have folded fields: an old form that some servers still write, in which
    /// a line that begins with a blank goes on with the field before it. Such lines are joined with
    /// blanks. By default it is refused: proxies on the way may read it in another way.
    pub fn join_folded(mut self, on: bool) -> Agent {
        self.join_folded = on;
        self
    }

    /// Changes how a connection is made: addresses, timeouts, buffers, a lookup of your own. `f`
    /// gets the origin, and options that connect there within 10 s.
    pub fn connect(
        mut self,
        f: impl Fn(&Origin, ConnectOptions) -> ConnectOptions + 'static,
    ) -> Agent {
        self.connect = Some(Rc::new(f));
        self
    }

    /// Lets the agent make connections to `https` origins. `f` adds the filter that encrypts, and
    /// checks who answers. It is called after that of [`connect`](Agent::connect).
    ///
    /// ```
    /// use tidegate_http::Agent;
    /// use tidegate_net::{Filter, FilterError, Passed};
    /// /// In place of a filter of TLS.
    /// struct Xor(u8);
    /// impl Filter for Xor {
    ///     fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
    ///         out.up.extend(wire.iter().map(|b| b ^ self.0));
    ///         Ok(())
    ///     }
    ///     fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
    ///         out.down.extend(user.iter().map(|b| b ^ self.0));
    ///         Ok(user.len())
    ///     }
    /// }
    /// let agent = Agent::new().secure(|origin, options| {
    ///     let name = origin.host().to_owned(); // whose certificate must come
    ///     options.filter(move || Xor(name.len() as u8))
    /// });
    /// # let _ = agent;
    /// ```
    pub fn secure(
        mut self,
        f: impl Fn(&Origin, ConnectOptions) -> ConnectOptions + 'static,
    ) -> Agent {
        self.secure = Some(Rc::new(f));
        self
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("max_sockets", &self.max_sockets)
            .field("max_total", &self.max_total)
            .field("max_free", &self.max_free)
            .field("max_pending", &self.max_pending)
            .field("keep_alive", &self.keep_alive)
            .field("scheduling", &self.scheduling)
            .field("is_secure", &self.secure.is_some())
            .finish_non_exhaustive()
    }
}
