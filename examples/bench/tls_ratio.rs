//! TLS of tidegate beside a server written by hand with mio and rustls, in one run: what both cost
//! their own thread, in the processor's time, so that what else runs on the machine counts little.
//!
//! ```text
//! cargo run --release --example tls_ratio
//! ```
//! It takes about half a minute, on Linux. A ratio above 1 says that tidegate needs less.

use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use tidegate::prelude::*;
use tidegate::tls::rustls::client::Resumption;
use tidegate::tls::rustls::pki_types::ServerName;
use tidegate::tls::rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tidegate::tls::{Identity, TlsServer};

#[path = "../../tests/support/allocation.rs"]
mod allocation;

#[global_allocator]
static COUNTING: allocation::Counting = allocation::Counting;

/// A server in a thread of its own.
struct Contender {
    name: &'static str,
    at: SocketAddr,
    /// Its thread, for the kernel.
    task: String,
    /// Bytes that it has allocated.
    live: Arc<AtomicIsize>,
}

impl Contender {
    fn start(
        name: &'static str,
        serve: impl FnOnce(mpsc::Sender<SocketAddr>, Arc<AtomicIsize>) + Send + 'static,
    ) -> Result<Contender, Box<dyn Error>> {
        let (tell, told) = mpsc::channel();
        let (name_it, named) = mpsc::channel();
        let live = Arc::new(AtomicIsize::new(0));
        let here = live.clone();
        std::thread::spawn(move || {
            let _ = name_it.send(std::fs::read_link("/proc/thread-self"));
            serve(tell, here);
        });
        let task = named.recv()??.to_string_lossy().into_owned();
        Ok(Contender { name, at: told.recv()?, task: format!("/proc/{task}/schedstat"), live })
    }

    /// Nanoseconds that its thread was running.
    fn ran(&self) -> Result<u64, Box<dyn Error>> {
        let text = std::fs::read_to_string(&self.task)?;
        Ok(text.split(' ').next().unwrap_or_default().parse()?)
    }
}

/// mio and rustls, as one writes it by hand.
fn by_hand(
    config: Arc<ServerConfig>,
    tell: &mpsc::Sender<SocketAddr>,
    live: &AtomicIsize,
) -> io::Result<()> {
    struct Conn {
        tcp: mio::net::TcpStream,
        tls: ServerConnection,
        writable: bool,
    }
    fn ready(conn: &mut Conn, buffer: &mut [u8]) -> io::Result<bool> {
        let mut open = true;
        loop {
            match conn.tls.read_tls(&mut conn.tcp) {
                Ok(0) => open = false,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
            let state = conn.tls.process_new_packets().map_err(io::Error::other)?;
            while let Ok(n @ 1..) = conn.tls.reader().read(buffer) {
                conn.tls.writer().write_all(&buffer[..n])?;
            }
            if state.peer_has_closed() && open {
                conn.tls.send_close_notify();
                open = false;
            }
            if !open {
                break;
            }
        }
        while conn.tls.wants_write() {
            match conn.tls.write_tls(&mut conn.tcp) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(open)
    }
    let mut poll = Poll::new()?;
    let mut listener = mio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let _ = tell.send(listener.local_addr()?);
    let (mut conns, mut next) = (HashMap::new(), 1);
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 16 * 1024]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == Token(0) {
                while let Ok((mut tcp, _)) = listener.accept() {
                    poll.registry().register(&mut tcp, Token(next), Interest::READABLE)?;
                    tcp.set_nodelay(true)?;
                    let mut tls =
                        ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                    tls.set_buffer_limit(None);
                    conns.insert(Token(next), Conn { tcp, tls, writable: false });
                    next += 1;
                }
                continue;
            }
            let Some(conn) = conns.get_mut(&event.token()) else { continue };
            let open = ready(conn, &mut buffer).unwrap_or(false);
            if conn.tls.wants_write() && !conn.writable {
                conn.writable = true;
                let both = Interest::READABLE | Interest::WRITABLE;
                poll.registry().reregister(&mut conn.tcp, event.token(), both)?;
            }
            if !open {
                conns.remove(&event.token());
            }
        }
        live.store(allocation::live(), Ordering::Relaxed);
    }
}

fn tidegate(
    config: Arc<ServerConfig>,
    tell: &mpsc::Sender<SocketAddr>,
    plain: Option<&mpsc::Sender<SocketAddr>>,
    offload: bool,
    live: Arc<AtomicIsize>,
) -> io::Result<()> {
    let mut lp = Loop::new()?;
    let mut tls = TlsServer::with_config(config);
    if offload {
        tls = tls.offload(lp.remote());
    }
    let echo = |conn: Incoming<'_>| {
        conn.accept(
            On::new()
                .data(|s, chunk| {
                    if s.write(chunk) == Flow::Full {
                        s.pause();
                    }
                })
                .drain(|s| s.resume())
                .close(|_, _| {}),
        );
    };
    let options = ListenOptions::new("127.0.0.1:0").no_delay(true);
    let server = lp.listen(options.clone().filter(tls), echo)?;
    let _ = tell.send(lp.server(server).local_addr()?);
    if let Some(plain) = plain {
        let server = lp.listen(options, echo)?;
        let _ = plain.send(lp.server(server).local_addr()?);
    }
    let _ = lp.cx().check(move |_, _| live.store(allocation::live(), Ordering::Relaxed));
    lp.run()
}

struct Client {
    tls: ClientConnection,
    tcp: TcpStream,
}

impl Client {
    fn connect(at: SocketAddr, config: &Arc<ClientConfig>) -> Result<Client, Box<dyn Error>> {
        let tcp = TcpStream::connect(at)?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("tide.example")?;
        Ok(Client { tls: ClientConnection::new(config.clone(), name)?, tcp })
    }

    /// Sends, and waits until as much is back.
    fn echo(&mut self, bytes: &[u8], back: &mut [u8]) -> Result<(), Box<dyn Error>> {
        self.tls.writer().write_all(bytes)?;
        let mut n = 0;
        while n < bytes.len() {
            match self.tls.reader().read(&mut back[n..]) {
                Ok(0) => return Err("the server ended".into()),
                Ok(more) => n += more,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.tls.complete_io(&mut self.tcp)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// One contest: slices in turns; the median of the ratios of both threads' times.
fn contest(
    name: &str,
    sides: [&Contender; 2],
    operations: u32,
    mut slice: impl FnMut(usize, u32) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut ratios = Vec::new();
    let mut spent = [0; 2];
    for cycle in 0..21 {
        let mut took = [0; 2];
        for side in [cycle % 2, 1 - cycle % 2] {
            let before = sides[side].ran()?;
            slice(side, operations)?;
            // What the server does after the last answer.
            std::thread::sleep(Duration::from_millis(2));
            took[side] = sides[side].ran()? - before;
            spent[side] += took[side];
        }
        ratios.push(took[0] as f64 / took[1].max(1) as f64);
    }
    ratios.sort_by(f64::total_cmp);
    let each = |side: usize| spent[side] as f64 / 21.0 / f64::from(operations) / 1e3;
    println!(
        "{name:<18} {} {:8.1} us, {} {:8.1} us each: ratio {:.3} ({:.3} to {:.3})",
        sides[0].name,
        each(0),
        sides[1].name,
        each(1),
        ratios[10],
        ratios[5],
        ratios[15],
    );
    Ok(())
}

/// The median, and the 99th percentile, of plain echoes for so long.
fn latencies(at: SocketAddr, time: Duration) -> Result<(Duration, Duration), Box<dyn Error>> {
    let mut s = TcpStream::connect(at)?;
    s.set_nodelay(true)?;
    let (began, mut took, mut buffer) = (Instant::now(), Vec::new(), [0; 64]);
    while began.elapsed() < time {
        let sent = Instant::now();
        s.write_all(&buffer)?;
        s.read_exact(&mut buffer)?;
        took.push(sent.elapsed());
        std::thread::sleep(Duration::from_micros(500));
    }
    took.sort();
    Ok((took[took.len() / 2], took[took.len() * 99 / 100]))
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().any(|a| a == "--help") {
        println!("usage: tls_ratio");
        return Ok(());
    }
    let made = rcgen::generate_simple_self_signed(["tide.example".to_owned()])?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes())?;
    let server = TlsServer::builder().identity(identity).build_config()?;
    let roots = tidegate::tls::Roots::from_pem(cert.as_bytes())?;
    let mut store = tidegate::tls::rustls::RootCertStore::empty();
    store.add(made.cert.der().clone())?;
    assert_eq!(roots.len(), store.len());
    let provider = Arc::new(tidegate::tls::rustls::crypto::ring::default_provider());
    let mut full = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    full.resumption = Resumption::disabled();
    let mut resumed = full.clone();
    resumed.resumption = Resumption::in_memory_sessions(64);
    let (full, resumed) = (Arc::new(full), Arc::new(resumed));

    let config = server.clone();
    let hand = Contender::start("by hand", move |tell, live| {
        if let Err(e) = by_hand(config, &tell, &live) {
            eprintln!("by hand: {e}");
        }
    })?;
    let config = server.clone();
    let ours = Contender::start("tidegate", move |tell, live| {
        if let Err(e) = tidegate(config, &tell, None, false, live) {
            eprintln!("tidegate: {e}");
        }
    })?;
    let sides = [&hand, &ours];
    let mut back = vec![0; 1 << 20];
    for (name, config) in [("full handshakes", &full), ("resumed ones", &resumed)] {
        contest(name, sides, 50, |side, operations| {
            for _ in 0..operations {
                let mut client = Client::connect(sides[side].at, config)?;
                client.echo(b"x", &mut back)?;
                client.tls.send_close_notify();
                client.tls.complete_io(&mut client.tcp)?;
            }
            Ok(())
        })?;
    }
    for (name, len, operations) in
        [("1 KiB echoes", 1024, 2000), ("16 KiB echoes", 16 * 1024, 1000)]
    {
        let bytes = vec![7; len];
        let mut clients = [Client::connect(hand.at, &full)?, Client::connect(ours.at, &full)?];
        contest(name, sides, operations, |side, operations| {
            for _ in 0..operations {
                clients[side].echo(&bytes, &mut back)?;
            }
            Ok(())
        })?;
    }

    for side in sides {
        let before = side.live.load(Ordering::Relaxed);
        let mut idle = Vec::new();
        for _ in 0..1000 {
            let mut client = Client::connect(side.at, &full)?;
            client.echo(b"x", &mut back)?;
            idle.push(client);
        }
        std::thread::sleep(Duration::from_millis(50));
        idle[0].echo(b"x", &mut back)?;
        let each = (side.live.load(Ordering::Relaxed) - before) / 1000;
        println!("memory of an idle connection: {} {each} bytes", side.name);
    }

    for offload in [false, true] {
        let (tell, plain) = mpsc::channel();
        let config = server.clone();
        let both = Contender::start("both", move |to, live| {
            let _ = tidegate(config, &to, Some(&tell), offload, live);
        })?;
        let plain = plain.recv()?;
        let quiet = latencies(plain, Duration::from_secs(2))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, at, config) = (stop.clone(), both.at, full.clone());
        let flood = std::thread::spawn(move || {
            let (began, mut made) = (Instant::now(), 0u32);
            while !stopped.load(Ordering::Relaxed) {
                let Ok(mut client) = Client::connect(at, &config) else { break };
                let _ = client.echo(b"x", &mut [0; 1]);
                made += 1;
                let due = Duration::from_millis(u64::from(made));
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
            f64::from(made) / began.elapsed().as_secs_f64()
        });
        let busy = latencies(plain, Duration::from_secs(4))?;
        stop.store(true, Ordering::Relaxed);
        let rate = flood.join().map_err(|_| "the flood panicked")?;
        let who = if offload { "by threads" } else { "by the loop" };
        println!(
            "plain echoes beside {rate:.0} handshakes a second {who}: median {:?} (idle {:?}), p99 {:?} (idle {:?})",
            busy.0, quiet.0, busy.1, quiet.1
        );
    }
    Ok(())
}
