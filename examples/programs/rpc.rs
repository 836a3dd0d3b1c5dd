//! Calls between services, without HTTP: typed requests and answers (serde) in frames that begin with
//! their length.
//!
//! ```text
//! cargo run --release --example rpc                # server and client in one, and ends
//! cargo run --release --example rpc -- HOST:PORT   # a server, until Ctrl-C
//! ```
//! A client sends as many calls as it likes on one connection (pipelining); each has a number, and
//! answers come when they are ready, in any order. The deadline of a call travels with it, so the
//! server does no work for nobody; a call that is given up is cancelled there, too. A frame is JSON
//! here, to be read by eye; another format of serde changes two lines.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::process::exit;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::TimerKey;
use tidegate::net::LengthPrefixed;
use tidegate::prelude::*;

const USAGE: &str = "usage: rpc [HOST:PORT]    # without an address: shows calls; Ctrl-C stops it";

/// A frame, and so one call or answer, has at most this many bytes.
const FRAME: usize = 64 * 1024;
/// Calls of one connection that are under way at once, on either side; beyond it, they are refused.
const PENDING: usize = 1024;

// ---- what both sides know

/// What can be asked.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(rename_all = "snake_case")]
enum Ask {
    Level {
        place: String,
    },
    Sum {
        of: Vec<i64>,
    },
    /// Takes this long.
    Wait {
        ms: u64,
    },
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Level { metres: f64 },
    Sum { is: i64 },
    Waited,
}

/// Why there is no reply.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// The deadline passed.
    Late,
    /// The server has too much to do.
    Busy,
    /// The call cannot be answered.
    Failed(String),
    /// The connection is over: nobody knows whether it was done.
    Lost(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromClient {
    /// `within`: milliseconds that are left.
    Call {
        id: u64,
        within: u64,
        ask: Ask,
    },
    Cancel {
        id: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct FromServer {
    id: u64,
    reply: Result<Reply, Fault>,
}

fn frames() -> LengthPrefixed {
    LengthPrefixed::u32_be(FRAME)
}

/// `Closed`: it is too long, or the connection is over.
fn send(s: &mut SocketCx<'_>, message: &impl Serialize) -> Flow {
    let Ok(frame) = serde_json::to_vec(message) else { return Flow::Closed };
    let Some(length) = frames().prefix(frame.len()) else { return Flow::Closed };
    s.write_gathered(&[length.as_slice().into(), frame.into()])
}

// ---- the server

/// What a connection works on: the timers of its calls, by their ids.
#[derive(Default)]
struct Serving {
    waiting: HashMap<u64, TimerKey>,
    cancelled: u64,
}

type Shared = Rc<RefCell<Serving>>;

fn serve(lp: &mut Loop, at: &str) -> Result<ServerKey, tidegate::net::ListenError> {
    lp.listen(at, |conn| {
        let serving = Shared::default();
        let gone = serving.clone();
        let on = On::new().close(move |s, close| {
            // Nobody waits for these.
            let mut serving = gone.borrow_mut();
            let (left, cancelled) = (serving.waiting.len(), serving.cancelled);
            for (_, timer) in serving.waiting.drain() {
                let _ = s.timer_stop(timer);
            }
            println!("  the server: {cancelled} cancelled, {left} left, {}", close.reason);
        });
        conn.accept(on.framed(frames(), move |s, frame| match serde_json::from_slice(frame) {
            Ok(message) => take(s, &serving, message),
            Err(e) => {
                s.destroy_with(io::Error::new(io::ErrorKind::InvalidData, e));
                Flow::Closed
            }
        }));
    })
}

fn take(s: &mut SocketCx<'_>, serving: &Shared, message: FromClient) -> Flow {
    let (id, within, ask) = match message {
        FromClient::Call { id, within, ask } => (id, within, ask),
        FromClient::Cancel { id } => {
            let mut serving = serving.borrow_mut();
            if let Some(timer) = serving.waiting.remove(&id) {
                let _ = s.timer_stop(timer);
                serving.cancelled += 1;
            }
            return Flow::Ready;
        }
    };
    let reply = match ask {
        Ask::Level { place } if place.is_empty() => Err(Fault::Failed("no place".to_owned())),
        Ask::Level { place } => Ok(Reply::Level { metres: place.len() as f64 / 2.0 }),
        Ask::Sum { of } => {
            let sum = of.iter().try_fold(0_i64, |sum, n| sum.checked_add(*n));
            sum.map(|is| Reply::Sum { is }).ok_or(Fault::Failed("it is too large".to_owned()))
        }
        Ask::Wait { ms } => return wait(s, serving, id, ms, within),
    };
    send(s, &FromServer { id, reply })
}

/// Work that takes time. It ends at the deadline: the client has given up by then.
fn wait(s: &mut SocketCx<'_>, serving: &Shared, id: u64, ms: u64, within: u64) -> Flow {
    let is_busy = serving.borrow().waiting.len() >= PENDING;
    // An id that is in use already would lose its timer.
    if is_busy || serving.borrow().waiting.contains_key(&id) {
        return send(s, &FromServer { id, reply: Err(Fault::Busy) });
    }
    let (socket, doing) = (s.key(), serving.clone());
    let timer = s.timer(Duration::from_millis(ms.min(within)), move |cx, _| {
        doing.borrow_mut().waiting.remove(&id);
        let reply = if ms <= within { Ok(Reply::Waited) } else { Err(Fault::Late) };
        // A client that reads nothing is closed at `write_limit`.
        let _ = send(&mut cx.socket(socket), &FromServer { id, reply });
    });
    serving.borrow_mut().waiting.insert(id, timer);
    Flow::Ready
}

// ---- the client

type Done = Box<dyn FnOnce(&mut Cx<'_>, Result<Reply, Fault>)>;

struct Call {
    deadline: TimerKey,
    done: Done,
}

/// A connection to a server, for many calls. Clones are the same. Each call ends exactly once.
#[derive(Clone)]
struct Client {
    socket: SocketKey,
    calls: Rc<RefCell<(u64, HashMap<u64, Call>)>>,
}

impl Client {
    fn connect(cx: &mut Cx<'_>, at: SocketAddr) -> Client {
        let calls: Rc<RefCell<(u64, HashMap<u64, Call>)>> = Rc::default();
        let (answered, lost) = (calls.clone(), calls.clone());
        let on = On::new().close(move |s, close| {
            let left = std::mem::take(&mut lost.borrow_mut().1);
            for call in left.into_values() {
                let _ = s.timer_stop(call.deadline);
                (call.done)(&mut s.cx(), Err(Fault::Lost(close.reason.to_string())));
            }
        });
        let on = on.framed(frames(), move |s, frame| {
            let answer: FromServer = match serde_json::from_slice(frame) {
                Ok(answer) => answer,
                Err(e) => {
                    s.destroy_with(io::Error::new(io::ErrorKind::InvalidData, e));
                    return Flow::Closed;
                }
            };
            // None: it was given up, and the answer was on its way.
            let call = answered.borrow_mut().1.remove(&answer.id);
            if let Some(call) = call {
                let _ = s.timer_stop(call.deadline);
                (call.done)(&mut s.cx(), answer.reply);
            }
            Flow::Ready
        });
        Client { socket: cx.connect(ConnectOptions::new(at).no_delay(true), on), calls }
    }

    /// `done` is called once, and not from inside this function. The id is for `cancel`.
    fn call(
        &self,
        cx: &mut Cx<'_>,
        ask: Ask,
        within: Duration,
        done: impl FnOnce(&mut Cx<'_>, Result<Reply, Fault>) + 'static,
    ) -> u64 {
        let id = {
            let mut calls = self.calls.borrow_mut();
            calls.0 += 1;
            calls.0
        };
        let me = self.clone();
        let deadline = cx.timer(within, move |cx, _| me.give_up(cx, id, Fault::Late));
        let call = Call { deadline, done: Box::new(done) };
        let is_busy = self.calls.borrow().1.len() >= PENDING;
        self.calls.borrow_mut().1.insert(id, call);
        if is_busy {
            let me = self.clone();
            cx.after(Duration::ZERO, move |cx| me.give_up(cx, id, Fault::Busy));
            return id;
        }
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let mut s = cx.socket(self.socket);
        if send(&mut s, &FromClient::Call { id, within, ask }) == Flow::Closed {
            // The connection is over, or the call is too large.
            let me = self.clone();
            cx.after(Duration::ZERO, move |cx| {
                me.give_up(cx, id, Fault::Failed("it was not sent".to_owned()));
            });
        }
        id
    }

    /// Nobody waits for it any more: the server stops working on it.
    fn cancel(&self, cx: &mut Cx<'_>, id: u64) {
        self.give_up(cx, id, Fault::Failed("cancelled".to_owned()));
    }

    fn give_up(&self, cx: &mut Cx<'_>, id: u64, why: Fault) {
        let call = self.calls.borrow_mut().1.remove(&id);
        let Some(call) = call else { return };
        let _ = cx.timer_stop(call.deadline);
        let _ = send(&mut cx.socket(self.socket), &FromClient::Cancel { id });
        (call.done)(cx, Err(why));
    }

    fn end(&self, cx: &mut Cx<'_>) {
        cx.socket(self.socket).end();
    }
}

// ---- the demonstration

fn demonstrate() -> io::Result<()> {
    let mut lp = Loop::new()?;
    let server = serve(&mut lp, "127.0.0.1:0").unwrap_or_else(|e| refuse(&e.to_string()));
    let at = lp.server(server).local_addr()?;
    let mut cx = lp.cx();
    let client = Client::connect(&mut cx, at);
    let calls = [
        (Ask::Wait { ms: 60 }, 1000, "slow"),
        (Ask::Wait { ms: 10_000 }, 40, "too slow"),
        (Ask::Wait { ms: 10_000 }, 10_000, "to be cancelled"),
        (Ask::Level { place: "the pier".to_owned() }, 1000, "a level"),
        (Ask::Level { place: String::new() }, 1000, "a level of nowhere"),
        (Ask::Sum { of: (1..=100).collect() }, 1000, "a sum"),
        (Ask::Sum { of: vec![i64::MAX, 1] }, 1000, "a sum too large"),
    ];
    let left = Rc::new(RefCell::new(calls.len()));
    for (ask, within, what) in calls {
        let (ends, left) = (client.clone(), left.clone());
        let id = client.call(&mut cx, ask, Duration::from_millis(within), move |cx, reply| {
            println!("  {what}: {reply:?}");
            *left.borrow_mut() -= 1;
            if *left.borrow() == 0 {
                ends.end(cx);
                let _ = cx.server(server).close();
            }
        });
        if what == "to be cancelled" {
            let client = client.clone();
            cx.after(Duration::from_millis(20), move |cx| client.cancel(cx, id));
        }
    }
    lp.run()
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [help] if help == "--help" => println!("{USAGE}"),
        [] => demonstrate()?,
        [at] => {
            let mut lp = Loop::new()?;
            let server = serve(&mut lp, at).unwrap_or_else(|e| refuse(&e.to_string()));
            lp.server(server).shutdown_on_signals(Duration::from_secs(5))?;
            println!("listening on {}; Ctrl-C stops", lp.server(server).local_addr()?);
            lp.run()?;
        }
        _ => refuse("one address, please"),
    }
    Ok(())
}

fn refuse(why: &str) -> ! {
    eprintln!("{why}\n{USAGE}");
    exit(2)
}
