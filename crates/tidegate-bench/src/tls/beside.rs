//! Programs beside a measurement: a server with TLS and one without in a loop, and clients that make
//! handshakes at a rate. This program starts itself for each. They get the certificate and its key by
//! their input, and end with it.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate::net::{Incoming, ListenOptions, Net};
use tidegate::tls::TlsServer;
use tidegate::tls::rustls::ClientConfig;
use tidegate::{AsCx, Loop};

use super::{Sides, visit};
use crate::peer::tidegate::Echo;
use crate::sys::cores::{self, Core};

/// Clients that share the rate.
const CLIENTS: u32 = 4;

/// Who does the handshakes of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The loop's thread.
    Loop,
    /// The threads of `work`.
    Threads,
}

/// One of the programs. Dropped, it ends.
pub struct Beside {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Beside {
    fn start(core: Core, arguments: &[&str], sides: &Sides) -> io::Result<Beside> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("beside").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A program begins on the core of the thread that starts it.
        cores::pin(core);
        let process = command.spawn();
        cores::pin(Core::Client);
        let mut process = process?;
        let missing = || io::Error::other("a program without input and output");
        let mut input = process.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(process.stdout.take().ok_or_else(missing)?);
        write!(input, "{}\0{}\0", sides.pem.0, sides.pem.1)?;
        Ok(Beside { process, input: Some(input), output })
    }

    /// The two servers in one loop on a core; where they listen, with TLS and without.
    pub fn server(core: Core, by: By, sides: &Sides) -> io::Result<(Beside, [SocketAddr; 2])> {
        let by = if by == By::Loop { "loop" } else { "threads" };
        let mut server = Beside::start(core, &["serve", by], sides)?;
        let line = server.line()?;
        let mut at = line.split(' ').map(|at| at.parse().map_err(io::Error::other));
        let mut next = || at.next().unwrap_or(Err(io::ErrorKind::InvalidData.into()));
        let at = [next()?, next()?];
        Ok((server, at))
    }

    /// Clients on the clients' core, which make so many handshakes in a second.
    pub fn clients(at: SocketAddr, rate: u32, resumed: bool, sides: &Sides) -> io::Result<Beside> {
        let (at, rate) = (at.to_string(), rate.to_string());
        let kind = if resumed { "resumed" } else { "full" };
        let mut clients = Beside::start(Core::Client, &["connect", &at, &rate, kind], sides)?;
        // The first was made.
        clients.line()?;
        Ok(clients)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the program has ended"));
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    /// Ends clients; how many handshakes they made in a second.
    pub fn rate(mut self) -> io::Result<f64> {
        self.input = None;
        self.line()?.parse().map_err(io::Error::other)
    }
}

/// The certificate and the key, from the input.
fn sides() -> io::Result<Sides> {
    let mut input = io::stdin().lock();
    let mut next = || {
        let mut text = Vec::new();
        input.read_until(0, &mut text)?;
        text.pop();
        String::from_utf8(text).map_err(io::Error::other)
    };
    Ok(Sides::of((next()?, next()?)))
}

/// Waits until the input ends.
fn until_end() {
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn serve(by: By) -> io::Result<()> {
    let sides = sides()?;
    let mut lp = Loop::new()?;
    let mut tls = TlsServer::with_config(sides.server);
    if by == By::Threads {
        tls = tls.offload(lp.remote());
    }
    let options = ListenOptions::new("127.0.0.1:0").no_delay(true);
    let echo = |conn: Incoming<'_>| {
        conn.accept(Echo);
    };
    let plain = lp.listen(options.clone(), echo)?;
    let tls = lp.listen(options.filter(tls), echo)?;
    let (plain, tls) = (lp.server(plain).local_addr()?, lp.server(tls).local_addr()?);
    let remote = lp.remote();
    std::thread::spawn(move || {
        until_end();
        let _ = remote.post(|cx| cx.stop());
    });
    say(&format!("{tls} {plain}"))?;
    lp.run()
}

/// Handshakes at this rate until `stop`; how many there were. A client that is late does not wait.
fn connect(
    at: SocketAddr,
    config: &Arc<ClientConfig>,
    resumed: bool,
    rate: f64,
    stop: &AtomicBool,
) -> io::Result<u32> {
    let (began, mut made) = (Instant::now(), 0u32);
    while !stop.load(Ordering::Relaxed) {
        // The first one has nothing to resume.
        if visit(at, config)? != (resumed && made > 0) {
            return Err(io::Error::other("a handshake of the other kind"));
        }
        made += 1;
        let due = Duration::from_secs_f64(f64::from(made) / rate);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    Ok(made)
}

fn connect_all(at: SocketAddr, rate: f64, resumed: bool) -> io::Result<()> {
    let sides = sides()?;
    let stop = AtomicBool::new(false);
    visit(at, &sides.full)?;
    say("")?;
    let began = Instant::now();
    let client = || {
        let own = sides.own_sessions(if resumed { &sides.resumed } else { &sides.full });
        connect(at, &own.into(), resumed, rate / f64::from(CLIENTS), &stop)
    };
    let made = std::thread::scope(|scope| {
        let all: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        until_end();
        stop.store(true, Ordering::Relaxed);
        let made = |client: std::thread::ScopedJoinHandle<'_, io::Result<u32>>| {
            client.join().unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
        };
        all.into_iter().map(made).sum::<io::Result<u32>>()
    })?;
    say(&format!("{:.1}", f64::from(made) / began.elapsed().as_secs_f64()))
}

/// Runs one of the programs.
pub fn main(args: &[&str]) -> Result<(), String> {
    let done = match args {
        ["serve", "loop"] => serve(By::Loop),
        ["serve", "threads"] => serve(By::Threads),
        ["connect", at, rate, kind @ ("full" | "resumed")] => {
            let at = at.parse().map_err(|_| format!("{at:?} is not a valid address"))?;
            let rate = rate.parse().map_err(|_| format!("{rate:?} is not a valid rate"))?;
            connect_all(at, rate, *kind == "resumed")
        }
        other => return Err(format!("there is no program {other:?}")),
    };
    done.map_err(|e| e.to_string())
}
