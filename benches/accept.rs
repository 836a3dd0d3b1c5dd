//! Accept throughput: connections per second by accept budget and concurrency,
//! beside an accept loop by hand over epoll.
//!
//! ```text
//! cargo bench --bench accept              # criterion, then the table of ratios
//! cargo bench --bench accept -- --test    # everything once
//! ```
//! Each server is one thread of this process that accepts and closes; the client
//! is the main thread: it opens K connections, one after another without
//! waiting, reads the end of each, and closes with a RST. The table alternates
//! between the two servers, wave by wave, and prints ratios of medians: above 1
//! tidegate is ahead.

#[cfg(target_os = "linux")]
mod raw_epoll;

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: the floor beside which this measures is epoll, on Linux");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::Read;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant};

    use criterion::{BenchmarkId, Criterion, Throughput};
    use socket2::{Domain, SockRef, Socket, Type};
    use tidegate::Remote;
    use tidegate::prelude::*;

    use crate::raw_epoll;

    const BUDGETS: [u32; 4] = [1, 8, 64, u32::MAX];
    const CLIENTS: [usize; 3] = [1, 64, 512];
    const BACKLOG: u32 = 4096;

    /// A server in a thread of its own, until it is dropped.
    struct Server {
        at: SocketAddr,
        thread: Option<JoinHandle<()>>,
        stop: Option<Stop>,
    }

    enum Stop {
        Loop(Remote),
        /// Dropping it is the message.
        Floor {
            _end: UnixStream,
        },
    }

    impl Drop for Server {
        fn drop(&mut self) {
            match self.stop.take() {
                Some(Stop::Loop(remote)) => remote.post(|cx| cx.stop()).expect("the loop runs"),
                Some(Stop::Floor { .. }) | None => {}
            }
            if let Some(thread) = self.thread.take() {
                thread.join().expect("the server ends in good order");
            }
        }
    }

    impl Server {
        fn tidegate(budget: u32) -> Server {
            let (tell, told) = mpsc::channel();
            let thread = std::thread::spawn(move || {
                let mut lp = Loop::new().unwrap();
                let options =
                    ListenOptions::new("127.0.0.1:0").backlog(BACKLOG).accept_budget(budget);
                let server = lp.listen(options, |conn| conn.reject()).unwrap();
                tell.send((lp.local_addr(server).unwrap(), lp.as_cx().remote())).unwrap();
                lp.run().unwrap();
            });
            let (at, remote) = told.recv().unwrap();
            Server { at, thread: Some(thread), stop: Some(Stop::Loop(remote)) }
        }

        fn floor() -> Server {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            socket.listen(BACKLOG as i32).unwrap();
            let listener = TcpListener::from(socket);
            let at = listener.local_addr().unwrap();
            let (end, stop) = UnixStream::pair().unwrap();
            let thread = std::thread::spawn(move || {
                raw_epoll::accept_and_close(&listener, &stop).unwrap();
            });
            Server { at, thread: Some(thread), stop: Some(Stop::Floor { _end: end }) }
        }

        fn cpu(&self) -> Duration {
            self.thread.as_ref().map_or(Duration::ZERO, raw_epoll::cpu)
        }

        /// One wave: `clients` connections at once, each closed by the server.
        fn wave(&self, clients: usize) {
            let open: Vec<TcpStream> =
                (0..clients).map(|_| TcpStream::connect(self.at).unwrap()).collect();
            for mut c in open {
                assert_eq!(c.read(&mut [0; 1]).unwrap(), 0, "the server's end");
                SockRef::from(&c).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }

    fn name(budget: u32) -> String {
        if budget == u32::MAX { "unlimited".to_owned() } else { budget.to_string() }
    }

    fn throughput(c: &mut Criterion) {
        for clients in CLIENTS {
            let mut group = c.benchmark_group(format!("accept/{clients}"));
            group
                .sample_size(20)
                .warm_up_time(Duration::from_millis(500))
                .measurement_time(Duration::from_secs(2))
                .throughput(Throughput::Elements(clients as u64));
            let floor = Server::floor();
            group.bench_function("raw epoll", |b| b.iter(|| floor.wave(clients)));
            for budget in BUDGETS {
                let server = Server::tidegate(budget);
                let id = BenchmarkId::new("tidegate budget", name(budget));
                group.bench_function(id, |b| b.iter(|| server.wave(clients)));
            }
            group.finish();
        }
    }

    /// Wall and server CPU time for each connection, in ns, of one slice.
    fn slice(server: &Server, clients: usize, waves: usize) -> (f64, f64) {
        let (wall, cpu) = (Instant::now(), server.cpu());
        for _ in 0..waves {
            server.wave(clients);
        }
        let n = (clients * waves) as f64;
        let cpu = server.cpu() - cpu;
        (wall.elapsed().as_nanos() as f64 / n, cpu.as_nanos() as f64 / n)
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn ratios(rounds: usize, connections: usize) {
        println!("\nratio to raw epoll, medians of {rounds} alternating rounds (above 1: ahead)\n");
        println!(
            "{:>8} {:>10} {:>14} {:>13} {:>12}",
            "clients", "budget", "connections/s", "ratio", "ratio"
        );
        println!("{:>8} {:>10} {:>14} {:>13} {:>12}", "", "", "", "by wall time", "by CPU");
        for clients in CLIENTS {
            let floor = Server::floor();
            for budget in BUDGETS {
                let server = Server::tidegate(budget);
                let waves = (connections / clients).max(1);
                let (mut wall, mut by_wall, mut by_cpu) = (vec![], vec![], vec![]);
                for _ in 0..rounds {
                    let (floor_wall, floor_cpu) = slice(&floor, clients, waves);
                    let (own_wall, own_cpu) = slice(&server, clients, waves);
                    wall.push(own_wall);
                    by_wall.push(floor_wall / own_wall);
                    by_cpu.push(floor_cpu / own_cpu);
                }
                println!(
                    "{clients:>8} {:>10} {:>14.0} {:>13.2} {:>12.2}",
                    name(budget),
                    1e9 / median(wall),
                    median(by_wall),
                    median(by_cpu)
                );
            }
        }
    }

    pub(crate) fn main() {
        let once = std::env::args().any(|a| a == "--test");
        let mut c = Criterion::default().configure_from_args();
        throughput(&mut c);
        c.final_summary();
        if once { ratios(3, 64) } else { ratios(15, 2048) }
    }
}
