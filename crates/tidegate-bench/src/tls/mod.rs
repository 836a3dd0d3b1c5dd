//! TLS of tidegate beside the server that one writes by hand with mio and rustls, with the same
//! configuration: what handshakes and echoes cost the server's thread. `calm.rs` is how long echoes
//! without TLS wait beside handshakes, with the programs of `beside.rs`; `idle.rs` the memory of
//! connections, `client.rs` the client.
//! The server by hand is `peer/rustls.rs`.
#![forbid(unsafe_code)]

pub mod beside;
pub mod calm;
pub mod client;
pub mod idle;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::net::ListenOptions;
use tidegate::tls::rustls::client::Resumption;
use tidegate::tls::rustls::crypto::ring::default_provider;
use tidegate::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tidegate::tls::{Identity, TlsServer};

use crate::contest::{Contender, Contest, Unit};
use crate::peer::contract::{BACKLOG, Mode, Options};
use crate::server::{Peer, Server};
use crate::suite::Scale;
use crate::sys::cores::{self, Core};
use client::Client;

/// How the figures are to be read.
pub const ABOUT: &str = "TLS 1.3, a key of the kind ECDSA P-256, ring. The other contender is an \
echo server that is written by hand with mio and rustls, with the same configuration. A connection \
is its handshake, one byte there and back, and `close_notify` of both sides. What counts is the CPU \
time of the server's thread. The rates are also those of the clients, which use a core of their own \
for the same arithmetic.\n";

/// The server's name in its certificate.
const NAME: &str = "tide.example";

/// What both sides need: a key of the kind ECDSA P-256, and clients that trust it.
#[derive(Clone)]
pub struct Sides {
    /// The certificate and its key, as PEM.
    pub pem: (String, String),
    /// Of every server.
    pub server: Arc<ServerConfig>,
    /// Of a client whose handshakes are full ones.
    pub full: Arc<ClientConfig>,
    /// Of one that resumes.
    pub resumed: Arc<ClientConfig>,
}

impl Sides {
    /// New ones.
    pub fn new() -> Sides {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        Sides::of((made.cert.pem(), made.signing_key.serialize_pem()))
    }

    /// With this certificate, which signed itself, and its key.
    pub fn of(pem: (String, String)) -> Sides {
        let identity = Identity::from_pem(pem.0.as_bytes(), pem.1.as_bytes()).expect("PEM");
        let own = identity.certificates().first().cloned().expect("a certificate");
        let server = TlsServer::builder().identity(identity).build_config().expect("a server");
        let mut roots = RootCertStore::empty();
        roots.add(own).expect("a root");
        let mut full = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut resumed = full.clone();
        full.resumption = Resumption::disabled();
        resumed.resumption = Resumption::in_memory_sessions(64);
        Sides { pem, server, full: full.into(), resumed: resumed.into() }
    }

    /// For one more client: a configuration with its own sessions.
    fn own_sessions(&self, of: &ClientConfig) -> ClientConfig {
        let mut config = of.clone();
        if !std::ptr::eq(of, &*self.full) {
            config.resumption = Resumption::in_memory_sessions(64);
        }
        config
    }

    /// tidegate, then the server by hand.
    pub fn peers(&self) -> [(&'static str, Peer); 2] {
        let options = ListenOptions::new("127.0.0.1:0").backlog(BACKLOG);
        let ours = options.filter(TlsServer::with_config(self.server.clone()));
        let by_hand = Peer::Rustls(self.server.clone());
        [("tidegate", Peer::Tidegate(Box::new(ours))), ("mio and rustls", by_hand)]
    }

    fn servers(&self, options: impl Into<Options>) -> Vec<(&'static str, Server)> {
        let options = options.into();
        let started = |(name, peer)| (name, Server::start(peer, options.clone()));
        self.peers().into_iter().map(started).collect()
    }
}

impl Default for Sides {
    fn default() -> Sides {
        Sides::new()
    }
}

/// What the server's thread used for each operation, in ns.
fn cpu_each(server: &Server, during: Duration, mut operation: impl FnMut(SocketAddr)) -> Vec<f64> {
    let (before, end) = (server.cpu(), Instant::now() + during);
    let mut n = 0;
    while n == 0 || Instant::now() < end {
        operation(server.at());
        n += 1;
    }
    server.settle();
    vec![(server.cpu() - before).as_nanos() as f64 / f64::from(n)]
}

/// The same for operations of several clients at once; and the elapsed time divided by their number.
fn cpu_each_at_once(
    server: &Server,
    during: Duration,
    clients: usize,
    operation: impl Fn(usize, SocketAddr) + Sync,
) -> Vec<f64> {
    let (before, began) = (server.cpu(), Instant::now());
    let end = began + during;
    let client = &|client| {
        cores::pin(Core::Client);
        let mut n = 0;
        while n == 0 || Instant::now() < end {
            operation(client, server.at());
            n += 1;
        }
        n
    };
    let n: u32 = std::thread::scope(|scope| {
        let all: Vec<_> = (0..clients).map(|n| scope.spawn(move || client(n))).collect();
        all.into_iter().map(|client| client.join().expect("a client")).sum()
    });
    let took = began.elapsed();
    server.settle();
    let each = |time: Duration| time.as_nanos() as f64 / f64::from(n);
    vec![each(server.cpu() - before), each(took)]
}

/// A connection with one echo of a byte; whether it was resumed.
fn visit(at: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<bool> {
    let mut client = Client::connect(at, config)?;
    client.ask(b"x", &mut [0])?;
    let resumed = client.is_resumed();
    client.end()?;
    Ok(resumed)
}

/// Handshakes and echoes.
pub fn contests(scale: Scale) -> Vec<Contest> {
    let sides = Sides::new();
    let mut all = Vec::new();
    let measures: &[(&str, Unit)] = &[("", Unit::Cpu), ("rate", Unit::PerSecond)];
    let handshakes = [
        ("a connection, full handshake", false, 1),
        ("a connection, resumed", true, 1),
        ("16 connections at once, full handshakes", false, 16),
        ("16 connections at once, resumed", true, 16),
    ];
    for (name, resumed, clients) in handshakes {
        let sides = sides.clone();
        let measures = if clients == 1 { &measures[..1] } else { measures };
        all.push(Contest::new(name, measures, scale.cycles, move || {
            let contender = |(name, server): (&str, Server)| {
                let config = if resumed { &sides.resumed } else { &sides.full };
                // Sessions of one server are none of the other, and those of one client are none
                // of another: it would take them away.
                let own = |_| Arc::new(sides.own_sessions(config));
                let configs: Vec<_> = (0..clients).map(own).collect();
                for config in &configs {
                    visit(server.at(), config).expect("a first visit");
                }
                let once = move |client: usize, at| {
                    let was_resumed = visit(at, &configs[client]).expect("a visit");
                    assert_eq!(was_resumed, resumed, "what is measured");
                };
                Contender::new(name, move || match clients {
                    1 => cpu_each(&server, scale.slice, |at| once(0, at)),
                    // Long enough for many visits of each.
                    n => cpu_each_at_once(&server, scale.slice * 4, n, &once),
                })
            };
            sides.servers(Mode::Echo).into_iter().map(contender).collect()
        }));
    }
    for (name, len) in [("echo of 1 KiB", 1024), ("echo of 16 KiB", 16 * 1024)] {
        let sides = sides.clone();
        all.push(Contest::new(name, &measures[..1], scale.cycles, move || {
            let contender = |(name, server): (&str, Server)| {
                let mut client = Client::connect(server.at(), &sides.full).expect("a client");
                let (message, mut answer) = (vec![7; len], vec![0; len]);
                Contender::new(name, move || {
                    cpu_each(&server, scale.slice, |_| {
                        client.ask(&message, &mut answer).expect("an echo");
                    })
                })
            };
            sides.servers(Mode::Echo).into_iter().map(contender).collect()
        }));
    }
    all
}
