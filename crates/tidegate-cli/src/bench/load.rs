//! The client: so many connections at once, each with its next operation when the last is done,
//! for some time. It is the same for every server.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::http::{Agent, AgentKey, ClientRequest, HttpClient, OnResponse};
use tidegate::prelude::*;

use super::latency::Latency;

/// What an operation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    /// A message there and back on an open connection.
    Echo,
    /// A connection, a message there and back, a reset.
    Accept,
    /// Bytes there and back, without waiting for those before.
    Pump,
    /// A GET on a kept connection.
    Http,
}

/// What is asked of a server.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) operation: Operation,
    /// `HOST:PORT`, or a URL for HTTP.
    pub(super) to: String,
    pub(super) at_once: usize,
    pub(super) bytes: usize,
}

/// The result of a slice of time.
pub(super) struct Slice {
    pub(super) wall: Duration,
    pub(super) latency: Latency,
    pub(super) failed: u64,
    /// The first failure.
    pub(super) why: Option<String>,
}

/// So many bytes of a pump may be under way on a connection.
const UNDER_WAY: usize = 1 << 20;

/// After so long without an answer a connection has failed.
const STUCK: Duration = Duration::from_secs(5);

struct Run {
    load: Load,
    message: Vec<u8>,
    until: Instant,
    agent: Cell<Option<AgentKey>>,
    latency: RefCell<Latency>,
    failed: Cell<u64>,
    why: RefCell<Option<String>>,
}

impl Run {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn done(&self, since: Instant) {
        self.latency.borrow_mut().record(since.elapsed());
    }

    fn fail(&self, why: impl std::fmt::Display) {
        self.failed.set(self.failed.get() + 1);
        self.why.borrow_mut().get_or_insert_with(|| why.to_string());
    }
}

struct Client {
    run: Rc<Run>,
    since: Instant,
    got: usize,
    is_done: bool,
    /// Of a pump: when each message went out that is not back yet; and whether the connection takes
    /// no more for now.
    sent: VecDeque<Instant>,
    is_full: bool,
}

impl Client {
    fn start(cx: &mut Cx<'_>, run: Rc<Run>) {
        let options = ConnectOptions::new(run.load.to.as_str())
            .connect_timeout(STUCK)
            .idle_timeout(STUCK)
            .no_delay(true);
        let (since, sent) = (Instant::now(), VecDeque::new());
        cx.connect(options, Client { run, since, got: 0, is_done: false, sent, is_full: false });
    }

    fn send(&mut self, s: &mut SocketCx<'_>) {
        self.got = 0;
        if self.run.load.operation == Operation::Echo {
            self.since = Instant::now();
        }
        // A message is smaller than the high-water mark; an answer is waited for in any case.
        let _ = s.write(&self.run.message[..]);
    }

    /// Of a pump: sends what may be under way, or ends when all is back.
    fn pump(&mut self, s: &mut SocketCx<'_>) {
        let bytes = self.run.message.len();
        let over = self.run.is_over();
        let has_room = |sent: usize| sent == 0 || (sent + 1) * bytes <= UNDER_WAY;
        while !over && !self.is_full && has_room(self.sent.len()) {
            self.sent.push_back(Instant::now());
            match s.write(&self.run.message[..]) {
                Flow::Ready => {}
                Flow::Full => self.is_full = true,
                Flow::Closed => return,
            }
        }
        if over && self.sent.is_empty() {
            self.is_done = true;
            s.reset();
        }
    }

    fn came_back(&mut self, bytes: usize) {
        self.got += bytes;
        while self.got >= self.run.message.len() {
            let Some(since) = self.sent.pop_front() else { return };
            self.got -= self.run.message.len();
            self.run.done(since);
        }
    }
}

impl Handler for Client {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        match self.run.load.operation {
            Operation::Pump => self.pump(s),
            _ => self.send(s),
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.is_full = false;
        if self.run.load.operation == Operation::Pump {
            self.pump(s);
        }
    }

    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        if self.run.load.operation == Operation::Pump {
            self.came_back(chunk.len());
            return self.pump(s);
        }
        self.got += chunk.len();
        if self.got < self.run.message.len() {
            return;
        }
        self.run.done(self.since);
        if self.run.load.operation == Operation::Echo && !self.run.is_over() {
            return self.send(s);
        }
        self.is_done = true;
        // No port stays in TIME_WAIT.
        s.reset();
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        if !self.is_done {
            // Who cannot serve this client is not asked again: it would only fail faster.
            return self.run.fail(close);
        }
        if self.run.load.operation == Operation::Accept && !self.run.is_over() {
            Client::start(&mut s.cx(), self.run.clone());
        }
    }
}

fn ask(cx: &mut Cx<'_>, run: Rc<Run>) {
    let mut request = ClientRequest::get(&run.load.to);
    if let Some(agent) = run.agent.get() {
        request = request.agent(agent);
    }
    let (since, again) = (Instant::now(), run.clone());
    let refused = cx.request(
        request,
        OnResponse::new().close(move |cx, result| match result {
            Ok(a) if a.status < 400 => {
                again.done(since);
                if !again.is_over() {
                    ask(cx, again.clone());
                }
            }
            Ok(a) => again.fail(format_args!("the answer is {}", a.status)),
            Err(e) => again.fail(e),
        }),
    );
    if let Err(e) = refused {
        run.fail(e);
    }
}

pub(super) fn slice(load: &Load, during: Duration) -> io::Result<Slice> {
    let mut lp = Loop::new()?;
    let begin = Instant::now();
    let run = Rc::new(Run {
        load: load.clone(),
        message: vec![b'x'; load.bytes],
        until: begin + during,
        agent: Cell::new(None),
        latency: RefCell::new(Latency::new()),
        failed: Cell::new(0),
        why: RefCell::new(None),
    });
    if load.operation == Operation::Http {
        let agent = Agent::new().max_sockets(load.at_once).max_free(load.at_once);
        run.agent.set(Some(lp.http_agent(agent).map_err(io::Error::other)?));
    }
    for _ in 0..load.at_once {
        match load.operation {
            Operation::Http => ask(&mut lp.cx(), run.clone()),
            _ => Client::start(&mut lp.cx(), run.clone()),
        }
    }
    lp.run()?;
    let wall = begin.elapsed();
    drop(lp);
    let latency = run.latency.replace(Latency::new());
    let why = run.why.take();
    Ok(Slice { wall, latency, failed: run.failed.get(), why })
}
