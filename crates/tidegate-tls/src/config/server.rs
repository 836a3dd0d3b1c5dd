//! [`TlsServer`]: makes the filters of a server's connections. How it is built is in
//! `server_builder.rs`.
#![forbid(unsafe_code)]

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use tidegate_loop::Remote;
use tidegate_net::{Filter, FilterFactory};

use crate::connection::shared::{Current, ServerShared};
use crate::connection::tls::Tls;
use crate::stats::{Stats, TlsStats};

/// How many jobs one turn gives to threads, and takes back.
const OFFLOADED: u32 = 64;

/// TLS for the connections of a server. It is cheap to clone; clones share certificates, tickets
/// and counters, also in several loops.
///
/// Each connection has its handshake first. When it is over comes `on_connection`, where
/// [`Tls`] says what was agreed; a handshake that fails is `on_refused`.
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// use tidegate_net::{ConnectOptions, Flow, ListenOptions, Net, On};
/// use tidegate_tls::{Identity, Roots, Tls, TlsClient, TlsServer};
///
/// let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
/// let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes())?;
/// let tls = TlsServer::builder().identity(identity).alpn(["echo"]).build()?;
///
/// let mut lp = Loop::new()?;
/// let server = lp.listen(ListenOptions::new("127.0.0.1:0").filter(tls), |mut conn| {
///     // The handshake is over.
///     assert_eq!(conn.filter::<Tls>().and_then(|tls| tls.server_name()), Some("tide.example"));
///     conn.server(conn.server_key()).close().unwrap();
///     conn.accept(On::new()
///         .data(|s, chunk| if s.write(chunk) == Flow::Full { s.pause() })
///         .drain(|s| s.resume()));
/// })?;
///
/// let tls = TlsClient::builder()
///     .roots(Roots::from_pem(cert.as_bytes())?)
///     .alpn(["echo"])
///     .build()?
///     .name("tide.example")?; // by default the host of `connect`
/// let at = lp.server(server).local_addr()?;
/// lp.connect(ConnectOptions::new(at).filter(tls), On::new()
///     .connect(|s| { let _ = s.write("high water"); })
///     .data(|s, chunk| {
///         assert_eq!(chunk, b"high water");
///         s.end(); // `close_notify`, then FIN
///     }));
/// lp.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsServer {
    pub(crate) shared: Arc<ServerShared>,
    pub(crate) offload: Option<Remote>,
}

impl TlsServer {
    /// With a configuration of rustls, and defaults.
    pub fn with_config(config: Arc<ServerConfig>) -> TlsServer {
        let defaults = ServerShared {
            current: RwLock::new(Current { config, names: None, not_after: None }),
            choose: None,
            max_handshakes: 1024,
            handshakes_per_turn: 1,
            allow_truncation: false,
            under_way: AtomicUsize::new(0),
            stats: Stats::default(),
        };
        TlsServer { shared: Arc::new(defaults), offload: None }
    }

    /// As `reload`, with a configuration of rustls.
    pub fn set_config(&self, config: Arc<ServerConfig>) {
        self.shared.set_current(Current { config, names: None, not_after: None });
    }

    /// When the first of its certificates expires; `None` if the configuration came from rustls.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.shared.current().not_after
    }

    /// Handshakes so far, with those of all clones.
    pub fn stats(&self) -> TlsStats {
        self.shared.stats.read(self.shared.handshakes_under_way())
    }

    /// Lets the threads of [`work`](tidegate_loop::Cx::work) of this loop do the handshakes: each
    /// step of one is a job. The loop's other connections wait less; a handshake takes longer,
    /// unless there are several cores. For a server in several loops, one clone with the remote of
    /// each.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::ListenOptions;
    /// fn options(lp: &mut Loop, tls: &tidegate_tls::TlsServer) -> ListenOptions {
    ///     ListenOptions::new(":443").filter(tls.offload(lp.remote()))
    /// }
    /// # let _ = options;
    /// ```
    pub fn offload(&self, remote: Remote) -> TlsServer {
        TlsServer { shared: self.shared.clone(), offload: Some(remote) }
    }

    /// The filter of one connection, for [`set_filter`](tidegate_net::SocketCx::set_filter): TLS
    /// begins on a connection that is open already (STARTTLS). `on_ready` comes when the handshake
    /// is over. Bytes that came together with the request for TLS are not trusted: give them back
    /// by
    /// [`unread`](tidegate_net::SocketCx::unread), then they have to be TLS.
    pub fn filter(&self) -> Tls {
        Tls::server(self.shared.clone(), self.offload.clone())
    }
}

impl FilterFactory for TlsServer {
    fn make(&self) -> Box<dyn Filter> {
        Box::new(self.filter())
    }

    fn handshakes_per_turn(&self) -> u32 {
        // A job does not keep the loop.
        if self.offload.is_some() { OFFLOADED } else { self.shared.handshakes_per_turn }
    }

    fn no_delay(&self) -> bool {
        true
    }
}
