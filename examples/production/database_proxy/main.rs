//! A proxy for Redis: many clients share few connections to the server, some commands are refused,
//! and slow ones are logged.
//!
//! ```text
//! cargo run --release --example database_proxy LISTEN SERVER [LOG]
//! ```
//! `LOG` is `slow` (the default: commands of 10 ms and more), `all`, or `none`. A client has a
//! connection of the pool while it waits for answers, and from `MULTI` or `WATCH` until the end of
//! the transaction. Commands that would change a connection for its next user are refused. Ctrl-C
//! stops it, and it prints what the pool did. `redis.rs` has the protocol.

mod redis;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{
    AtLimit, Close, Handler, Lease, PoolError, PoolKey, PoolOptions, PoolWait, TcpKeepAlive,
};
use tidegate::observe::OneLine;
use tidegate::prelude::*;

use redis::{Answers, MOST, command, is, refusal};

const USAGE: &str =
    "usage: database_proxy LISTEN SERVER [slow|all|none]    # both HOST:PORT; Ctrl-C stops it";
/// A command is slow from here on.
const SLOW: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    Slow,
    All,
    None,
}

/// What the client is owed next.
enum Owed {
    /// So many answers of the server.
    Theirs(u64),
    /// One of ours.
    Own(String),
}

/// A client, and the connection of the pool that it has.
struct Session {
    client: SocketKey,
    pool: PoolKey,
    server: Rc<str>,
    log: Log,
    lease: Option<Lease>,
    wait: Option<PoolWait>,
    /// Commands for which there is no connection yet.
    early: Vec<u8>,
    owed: VecDeque<Owed>,
    answers: Answers,
    /// Between MULTI or WATCH and the end of the transaction.
    pinned: bool,
    /// The client has ended its side.
    ended: bool,
    /// When the oldest command without an answer came, and which it is.
    since: Duration,
    oldest: Vec<u8>,
}

type Shared = Rc<RefCell<Session>>;

impl Session {
    /// Whether the server owes nothing.
    fn is_quiet(&self) -> bool {
        !self.owed.iter().any(|owed| matches!(owed, Owed::Theirs(_))) && self.early.is_empty()
    }

    fn expect(&mut self) {
        match self.owed.back_mut() {
            Some(Owed::Theirs(n)) => *n += 1,
            _ => self.owed.push_back(Owed::Theirs(1)),
        }
    }

    /// Answers of ours that are next.
    fn own(&mut self, out: &mut Vec<u8>) {
        while let Some(Owed::Own(_)) = self.owed.front() {
            let Some(Owed::Own(text)) = self.owed.pop_front() else { return };
            out.extend(text.as_bytes());
        }
    }

    /// The server's answers do not come: each is answered with the error.
    fn fail(&mut self, error: &dyn Display) -> Vec<u8> {
        let (mut out, text) = (Vec::new(), format!("-ERR the proxy: {error}\r\n"));
        for owed in self.owed.drain(..) {
            match owed {
                Owed::Theirs(n) => (0..n).for_each(|_| out.extend(text.as_bytes())),
                Owed::Own(own) => out.extend(own.as_bytes()),
            }
        }
        self.early.clear();
        self.pinned = false;
        out
    }
}

/// The client's side.
struct Client {
    session: Shared,
    /// The beginning of a command.
    partial: Vec<u8>,
}

impl Handler for Client {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let joined;
        let bytes = if self.partial.is_empty() {
            chunk
        } else {
            joined = [&std::mem::take(&mut self.partial)[..], chunk].concat();
            &joined[..]
        };
        let (mut at, mut out) = (0, Vec::new());
        // What goes on, as pieces of what came.
        let mut passed: Vec<(usize, usize)> = Vec::new();
        let mut session = self.session.borrow_mut();
        let wrong = loop {
            let ([name, second], length) = match command(&bytes[at..]) {
                Ok(Some(command)) => command,
                Ok(None) if bytes.len() - at > MOST => break Some("too big command"),
                Ok(None) => break None,
                Err(why) => break Some(why),
            };
            let from = at;
            at += length;
            if name.is_empty() {
                continue;
            }
            if let Some(why) = refusal(name, second) {
                session.owed.push_back(Owed::Own(why));
                continue;
            }
            if is(name, "MULTI") || is(name, "WATCH") {
                session.pinned = true;
            } else if ["EXEC", "DISCARD", "UNWATCH"].iter().any(|end| is(name, end)) {
                session.pinned = false;
            }
            if session.log == Log::All {
                println!("{} from {:?}", OneLine(&String::from_utf8_lossy(name)), s.peer_addr());
            }
            if passed.is_empty() && session.is_quiet() {
                session.since = s.cx().now();
                session.oldest.clear();
                session.oldest.extend(&name[..name.len().min(32)]);
            }
            session.expect();
            match passed.last_mut() {
                Some((_, end)) if *end == from => *end = at,
                _ => passed.push((from, at)),
            }
        };
        self.partial = bytes[at..].to_vec();
        session.own(&mut out);
        if let Some(why) = wrong {
            out.extend(format!("-ERR Protocol error: {why}\r\n").as_bytes());
            let _ = s.end_with(out);
            return;
        }
        let mut stop = !out.is_empty() && s.write(out) == Flow::Full;
        for (from, to) in passed {
            match session.lease {
                Some(lease) => {
                    stop |= s.socket(lease.socket()).write(&bytes[from..to]) == Flow::Full;
                }
                None => session.early.extend(&bytes[from..to]),
            }
        }
        stop |= session.early.len() > 64 << 10;
        if !session.early.is_empty() && session.wait.is_none() {
            let (pool, server) = (session.pool, session.server.clone());
            let shared = self.session.clone();
            let wait = s.pool_take(pool, &server, move |cx, lease| leased(cx, &shared, lease));
            session.wait = Some(wait);
        }
        if stop {
            s.pause();
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        let lease = self.session.borrow().lease;
        if let Some(lease) = lease {
            s.socket(lease.socket()).resume();
        }
        s.resume();
    }

    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        let mut session = self.session.borrow_mut();
        session.ended = true;
        if session.is_quiet() {
            s.end();
        }
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, _: Close) {
        let mut session = self.session.borrow_mut();
        if let Some(wait) = session.wait.take() {
            s.pool_cancel(wait);
        }
        // Answers for nobody are on their way to it: nobody can use it again.
        if let Some(lease) = session.lease.take() {
            s.socket(lease.socket()).destroy();
        }
    }
}

/// The pool gave a connection, or it did not.
fn leased(cx: &mut Cx<'_>, shared: &Shared, lease: Result<Lease, PoolError>) {
    let mut session = shared.borrow_mut();
    session.wait = None;
    let client = session.client;
    match lease {
        Ok(lease) => {
            session.lease = Some(lease);
            session.answers = Answers::default();
            let early = std::mem::take(&mut session.early);
            let mut server = cx.socket(lease.socket());
            server.set_handler(Server { session: shared.clone() });
            let flow = server.write(early);
            if flow != Flow::Full {
                cx.socket(client).resume();
            }
        }
        Err(e) => {
            let out = session.fail(&e);
            answer(cx, &session, &out);
        }
    }
}

fn answer(cx: &mut Cx<'_>, session: &Session, out: &[u8]) {
    let mut client = cx.socket(session.client);
    let _ = client.write(out);
    client.resume();
    if session.ended {
        client.end();
    }
}

/// The server's side.
struct Server {
    session: Shared,
}

impl Handler for Server {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        let mut session = self.session.borrow_mut();
        let session = &mut *session;
        let (mut out, mut at) = (Vec::new(), 0);
        // As a rule nothing of ours is between, and the bytes go on as they came.
        let mut plain = true;
        while at < chunk.len() {
            let end = session.answers.next(&chunk[at..]);
            let n = end.unwrap_or(chunk.len() - at);
            if !plain {
                out.extend(&chunk[at..at + n]);
            }
            at += n;
            if end.is_none() {
                break;
            }
            match session.owed.front_mut() {
                Some(Owed::Theirs(n)) if *n > 1 => *n -= 1,
                Some(Owed::Theirs(_)) => {
                    session.owed.pop_front();
                    if let Some(Owed::Own(_)) = session.owed.front() {
                        if std::mem::take(&mut plain) {
                            out.extend(&chunk[..at]);
                        }
                        session.own(&mut out);
                    }
                }
                // Nobody asked for it.
                _ => return s.destroy(),
            }
        }
        let mut client = s.socket(session.client);
        let flow = if plain { client.write(chunk) } else { client.write(out) };
        let took = s.cx().now().saturating_sub(session.since);
        if session.is_quiet() && session.answers.is_between() {
            if took >= SLOW && session.log != Log::None {
                let oldest = String::from_utf8_lossy(&session.oldest);
                println!("{} took {took:.1?}", OneLine(&oldest));
            }
            if session.ended {
                s.socket(session.client).end();
            }
            if let Some(lease) = session.lease.take_if(|_| !session.pinned) {
                let _ = s.pool_give(lease);
                return;
            }
        }
        if flow == Flow::Full {
            s.pause();
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        let client = self.session.borrow().client;
        s.socket(client).resume();
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        let mut session = self.session.borrow_mut();
        if session.lease.is_none_or(|lease| lease.socket() != s.key()) {
            return;
        }
        session.lease = None;
        let whole = session.answers.is_between();
        let was_pinned = session.pinned;
        let out = session.fail(&format_args!("the server is gone: {}", close.reason));
        if !whole || was_pinned {
            // A part of an answer is out, or a transaction is lost: the client must begin anew.
            s.socket(session.client).destroy();
            return;
        }
        answer(&mut s.cx(), &session, &out);
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (at, server, log) = match &words[..] {
        ["--help"] => {
            println!("{USAGE}");
            return Ok(());
        }
        [at, server] | [at, server, "slow"] => (*at, *server, Log::Slow),
        [at, server, "all"] => (*at, *server, Log::All),
        [at, server, "none"] => (*at, *server, Log::None),
        _ => refuse("two addresses, please"),
    };
    if let Err(e) = ConnectOptions::new(server).check() {
        refuse(e);
    }
    let mut lp = Loop::new()?;
    let options = PoolOptions::new().max_per_name(64).max_idle(64).max_waiting(10_000);
    let pool = lp.pool(options, |server| {
        ConnectOptions::new(server).no_delay(true).connect_timeout(Duration::from_secs(3))
    })?;
    let server: Rc<str> = server.into();
    let listen = ListenOptions::new(at)
        .max_connections(10_000, AtLimit::Hold)
        .max_per_peer(5_000)
        .no_delay(true)
        .allow_half_open(true)
        .keep_alive(TcpKeepAlive::default());
    let front = lp.listen(listen, move |mut conn| {
        let session = Session {
            client: conn.key(),
            pool,
            server: server.clone(),
            log,
            lease: None,
            wait: None,
            early: Vec::new(),
            owed: VecDeque::new(),
            answers: Answers::default(),
            pinned: false,
            ended: false,
            since: Duration::ZERO,
            oldest: Vec::new(),
        };
        let session = Rc::new(RefCell::new(session));
        conn.accept(Client { session, partial: Vec::new() });
    });
    let front = front.unwrap_or_else(|e| refuse(e));
    lp.server(front).shutdown_on_signals(Duration::from_secs(5))?;
    println!("listening on {}; Ctrl-C stops", lp.server(front).local_addr()?);
    lp.run()?;
    let m = lp.pool_metrics(pool).unwrap_or_default();
    println!(
        "{} uses of {} connections; {} could not be made",
        m.taken, m.connected, m.connect_failed
    );
    Ok(())
}

fn refuse(why: impl Display) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
