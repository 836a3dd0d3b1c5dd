//! The contests of datagrams, and the clients that only they need.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::contest::{Contender, Contest, Unit};
use crate::load::{MESSAGE, PingPong};
use crate::peer::contract::{ANSWER, Mode, Options, PIECE, Stamps};
use crate::server::{Peer, Server};
use crate::stats::quantile;
use crate::suite::Scale;
use crate::sys::{cores, epoll};

/// No server needs so long for anything here.
const STUCK: Duration = Duration::from_secs(20);

/// Everything about datagrams.
pub fn contests(scale: Scale) -> Vec<Contest> {
    let echo = [1, 10, 100].map(|n| there_and_back(scale, n, Mode::Datagrams));
    let (answers, flood) = (there_and_back(scale, 100, Mode::Answers), flood(scale));
    let rest = [answers, bulk(scale, true), bulk(scale, false), flood];
    echo.into_iter().chain(rest).collect()
}

/// Each client waits for its answer before it sends the next.
fn there_and_back(scale: Scale, n: usize, mode: Mode) -> Contest {
    let clients = if n == 1 { "1 client".to_owned() } else { format!("{n} clients") };
    let (what, answer) = match mode {
        Mode::Answers => ("UDP, 64 bytes in, 512 out", ANSWER),
        _ => ("UDP echo of 64 bytes", MESSAGE),
    };
    let is_timed = mode == Mode::Answers;
    let (rate, times) = (
        [("", Unit::PerSecond), ("by CPU", Unit::Cpu)],
        [("p50", Unit::Time), ("p99", Unit::Time)],
    );
    let measures = if is_timed { [rate, times].concat() } else { rate.to_vec() };
    Contest::new(format!("{what}, {clients}"), &measures, scale.cycles, move || {
        let open = |(name, peer): (&str, Peer)| {
            let server = Server::start(peer, mode);
            let open = PingPong::over_udp(&server, n, answer);
            let mut open = if is_timed { open.timed() } else { open };
            Contender::new(name, move || {
                let slice = open.slice(&server, scale.slice);
                let mut costs = vec![slice.wall_each(), slice.cpu_each()];
                if is_timed {
                    costs.extend([0.5, 0.99].map(|share| quantile(&slice.latencies, share)));
                }
                costs
            })
        };
        Peer::of_datagrams().into_iter().map(open).collect()
    })
}

/// Many datagrams to one peer, who receives them in runs. On the loopback: no device cuts them.
/// `offload`: those that can let the kernel cut them (GSO); else only those take part that can do
/// without.
fn bulk(scale: Scale, offload: bool) -> Contest {
    let bytes = scale.pumped / 4;
    let how = if offload { "" } else { ", without GSO" };
    let name = format!("UDP, {} MiB to one peer in datagrams of 1,200 bytes{how}", bytes >> 20);
    let measures = [("", Unit::GibPerSecond), ("by CPU for a datagram", Unit::Cpu)];
    Contest::new(name, &measures, scale.cycles, move || {
        let open = |(name, peer): (&str, Peer)| {
            let stamps = Stamps::new(4);
            let stamped = Some(stamps.clone());
            let options = Options { stamps: stamped, offload, ..Mode::Bulk.into() };
            let server = Server::start(peer, options);
            let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            client.connect(server.at()).expect("it can be connected");
            client.set_nonblocking(true).expect("a socket that does not block");
            epoll::set_bulk(&client, 32 << 20).expect("an option of UDP");
            Contender::new(name, move || pull(&server, &client, &stamps, bytes / PIECE))
        };
        let quinn = [("quinn-udp", Peer::Quinn)];
        let takes_part =
            |(name, _): &(&str, Peer)| offload || !["floor", "quinn-udp"].contains(name);
        Peer::all().into_iter().chain(quinn).filter(takes_part).map(open).collect()
    })
}

/// Asks for so many datagrams, and takes them until the server has sent all. Costs of a GiB, and
/// of a datagram.
fn pull(server: &Server, client: &UdpSocket, stamps: &Stamps, datagrams: usize) -> Vec<f64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut empty = || (0..).map_while(|_| client.recv(&mut buffer).ok()).sum::<usize>();
    // What the kernel delivered after the last slice.
    empty();
    let (begin, began, cpu) = (Instant::now(), cores::now(), server.cpu());
    let request = u32::try_from(datagrams).expect("so many");
    client.send(&request.to_ne_bytes()).expect("there is room");
    let mut received = 0;
    while stamps.used() == 0 {
        received += empty();
        assert!(begin.elapsed() < STUCK, "the server is stuck");
    }
    let wall = stamps.take()[0].saturating_sub(began) as f64;
    server.settle();
    received += empty();
    assert!(received > 0 && received <= datagrams * PIECE, "{received} bytes came");
    let cpu = (server.cpu() - cpu).as_nanos() as f64;
    vec![wall / (datagrams * PIECE) as f64 * (1 << 30) as f64, cpu / datagrams as f64]
}

/// A flood that exceeds what a server can receive, beside a timer and a connection.
fn flood(scale: Scale) -> Contest {
    let measures = [
        ("received", Unit::PerSecond),
        ("dropped by the kernel", Unit::Share),
        ("timer of 1 ms late, p99", Unit::Time),
        ("TCP echo, p50", Unit::Time),
        ("TCP echo, p99", Unit::Time),
    ];
    Contest::new("UDP flood", &measures, scale.cycles, move || {
        let open = |(name, peer): (&str, Peer)| {
            let stamps = Stamps::new(1 << 14);
            let options = Options { stamps: Some(stamps.clone()), ..Mode::Flooded.into() };
            let received = options.received.clone();
            let mut flood = Flood::open(Server::start(peer, options), stamps);
            Contender::new(name, move || {
                let before = received.load(Ordering::Relaxed);
                let (wall, echoes, sent) = flood.slice(scale.slice * 8);
                let received = received.load(Ordering::Relaxed) - before;
                assert!(received > 0, "the flood arrives");
                let late = flood.late();
                vec![
                    wall.as_nanos() as f64 / received as f64,
                    // Those that wait are received, or dropped, in the next slice.
                    1.0 - (received as f64 / sent as f64).min(1.0),
                    quantile(&late, 0.99),
                    quantile(&echoes, 0.5),
                    quantile(&echoes, 0.99),
                ]
            })
        };
        let all = Peer::of_datagrams().into_iter();
        all.filter(|(name, _)| *name != "floor").map(open).collect()
    })
}

struct Flood {
    server: Server,
    stamps: Arc<Stamps>,
    flood: UdpSocket,
    connection: OwnedFd,
}

impl Flood {
    fn open(server: Server, stamps: Arc<Stamps>) -> Flood {
        let flood = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        flood.connect(server.at()).expect("it can be connected");
        epoll::set_segment(&flood, PIECE).expect("an option of UDP");
        let connection = epoll::connect(server.at()).expect("a connection");
        SockRef::from(&connection).set_tcp_nodelay(true).expect("an option of TCP");
        server.settle();
        Flood { server, stamps, flood, connection }
    }

    /// Floods for so long, and asks for one echo after the other. How long it took, each echo, and
    /// how many datagrams were sent.
    fn slice(&mut self, during: Duration) -> (Duration, Vec<f64>, u64) {
        let (data, mut sent) = ([7; 40 * PIECE], 0);
        let mut echoes = Vec::new();
        // What was noted between the slices does not count.
        self.late();
        let begin = Instant::now();
        let mut asked = None;
        while begin.elapsed() < during || asked.is_some() {
            epoll::write(&self.flood, &data).expect("the loopback takes everything");
            sent += 40;
            let since = *asked.get_or_insert_with(|| {
                epoll::write(&self.connection, &[7; MESSAGE]).expect("a connection");
                Instant::now()
            });
            if epoll::read(&self.connection, &mut [0; MESSAGE]).is_ok() {
                echoes.push(since.elapsed().as_nanos() as f64);
                asked = None;
            }
            assert!(begin.elapsed() < STUCK, "the server is stuck");
        }
        (begin.elapsed(), echoes, sent)
    }

    /// How late the timer was since the last call, in ns.
    fn late(&self) -> Vec<f64> {
        self.server.hold();
        let late = self.stamps.take();
        self.server.go_on();
        late.into_iter().map(|ns| ns as f64).collect()
    }
}
