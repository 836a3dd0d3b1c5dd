//! Their pipes and connections.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate::prelude::*;
use tidegate::stream::*;

use super::echoes;
use super::program::*;
use super::streams::*;

pub(crate) fn piped(
    cx: &mut impl Streams,
    from: impl ReadEnd,
    stages: Vec<Box<dyn Transform>>,
    to: impl WriteEnd,
    last: bool,
    l: &Shared,
) -> PipeKey {
    let known = l.clone();
    add(&l.pipes, 0);
    let done = move |_: &mut Cx<'_>, result: Result<(), PipeError>| {
        known.said(&known.pipes, &result);
        if last {
            known.last_word(result.is_ok());
        }
    };
    cx.pipeline(from, stages, to, done).unwrap()
}

/// A connection's last word.
pub(crate) fn closed(known: &Known, close: Close) {
    known.unsent.set(known.unsent.get() + close.unsent);
    let well = matches!(close.reason, Reason::Ended);
    let result = if well { Ok(()) } else { Err(close.reason) };
    known.said(&known.sockets, &result);
}

/// A connection that says it once.
fn on(l: &Shared) -> On {
    let known = l.clone();
    add(&l.sockets, 0);
    On::new().close(move |_, close| closed(&known, close))
}

fn connecting(to: SocketAddr, route: Route) -> ConnectOptions {
    let options = ConnectOptions::new(to).high_water_mark(route.mark);
    let options = options.allow_half_open(route.half_open);
    let options = route.filters.into_iter().flatten().fold(options, ConnectOptions::filter);
    match route.buffers {
        Some(bytes) => options.send_buffer(bytes).recv_buffer(bytes),
        None => options,
    }
}

/// A server for one connection, which echoes or goes on to the next.
fn serve(lp: &mut Loop, next: Option<SocketAddr>, route: Route, l: &Shared) -> ServerKey {
    let l = l.clone();
    let options = ListenOptions::new("127.0.0.1:0").high_water_mark(route.mark);
    let options = route.filters.into_iter().flatten().fold(options, ListenOptions::filter);
    let options = match route.buffers {
        Some(bytes) => options.send_buffer(bytes).recv_buffer(bytes),
        None => options,
    };
    lp.listen(options, move |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        match (next, route.echo) {
            (Some(next), _) => {
                let mut a = conn.accept(on(&l));
                let (key, b) = (a.key(), a.connect(connecting(next, route), on(&l)));
                piped(&mut a, key, vec![], b, false, &l);
                piped(&mut a, b, vec![], key, false, &l);
            }
            (None, Echo::Piped) => {
                let mut a = conn.accept(on(&l));
                let key = a.key();
                piped(&mut a, key, vec![], key, false, &l);
            }
            (None, echo @ (Echo::GivenBack | Echo::Pushed | Echo::Pulled(_))) => {
                echoes::accept(conn, echo, &l);
            }
            (None, Echo::Handled) => {
                let echo = on(&l).drain(|s| {
                    saw("an echo drained");
                    s.resume();
                });
                conn.accept(echo.data(|s, chunk| {
                    if s.write(chunk) == Flow::Full {
                        s.pause();
                    }
                }));
            }
        }
    })
    .unwrap()
}

/// The servers of a route, and the address of the first.
fn serve_all(lp: &mut Loop, route: Route, l: &Shared) -> (Vec<ServerKey>, SocketAddr) {
    let last = serve(lp, None, route, l);
    let (mut servers, mut at) = (vec![last], lp.server(last).local_addr().unwrap());
    for _ in 0..route.proxies {
        let server = serve(lp, Some(at), route, l);
        at = lp.server(server).local_addr().unwrap();
        servers.push(server);
    }
    (servers, at)
}

/// What is done to a client on its way.
fn meddle(lp: &mut Loop, client: SocketKey, pipe: Option<PipeKey>, route: Route, l: &Shared) {
    if let Some(Meddle { pause, resume }) = route.pause {
        at(&mut lp.cx(), pause, move |cx| {
            cx.socket(client).pause();
            at(cx, resume, move |cx| cx.socket(client).resume());
        });
    }
    let Some((cut, when)) = route.cut else { return };
    let known = l.clone();
    at(&mut lp.cx(), when, move |cx| {
        let broken = match (cut, pipe) {
            (Cut::Pipe, Some(pipe)) => cx.close(pipe).is_ok(),
            _ => {
                let mut s = cx.socket(client);
                let open = s.state().is_ok();
                if cut == Cut::Reset {
                    s.reset()
                } else {
                    s.destroy()
                }
                open
            }
        };
        known.broken.set(known.broken.get() || broken);
    });
}

pub(crate) fn echo(
    lp: &mut Loop,
    (from, up): (&From, &[Stage]),
    route: Route,
    (down, to): (&[Stage], &To),
    l: &Shared,
) {
    let (servers, first) = serve_all(lp, route, l);
    let from = open_from(lp, from, false, Piped(l.clone()), l);
    let to = open_to(lp, to, true, l);
    let known = l.clone();
    add(&l.sockets, 0);
    let handler = On::new().close(move |s, close| {
        // If it never came to them, nobody else does.
        for server in &servers {
            let _ = s.server(*server).close();
        }
        closed(&known, close);
    });
    let client = lp.connect(connecting(first, route), handler);
    let pipe = piped(lp, from, stages_of(up, l), client, false, l);
    piped(lp, client, stages_of(down, l), to, true, l);
    meddle(lp, client, Some(pipe), route, l);
}

/// A client that writes by hand.
struct Talks {
    servers: Vec<ServerKey>,
    known: Shared,
    /// Bytes whose completion came, and whether one was not written.
    told: usize,
    broken: bool,
    /// Half of the last chunk was given back.
    gave_back: bool,
    /// What is written is not as long as what the kernel gets.
    longer: bool,
}

impl Handler for Talks {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        let key = s.key();
        talk_on(&mut s.cx(), key, &self.known);
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.gave_back = !self.gave_back && chunk.len() > 1;
        let (now, later) = chunk.split_at(chunk.len() / if self.gave_back { 2 } else { 1 });
        self.known.out.borrow_mut().extend_from_slice(now);
        s.unread(later);
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        assert_eq!(s.buffered(), 0);
        saw("a client drained");
        let key = s.key();
        talk_on(&mut s.cx(), key, &self.known);
    }
    fn on_timer(&mut self, s: &mut SocketCx<'_>, _: u64) {
        saw("a timer of a client");
        let key = s.key();
        talk_on(&mut s.cx(), key, &self.known);
    }
    /// The ids are how many bytes were accepted, each write's included.
    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, result: Result<(), &Reason>) {
        assert!(id as usize > self.told, "in their order, once: {id} after {}", self.told);
        self.told = id as usize;
        match result {
            Ok(()) => assert!(!self.broken && s.bytes_written() >= id || s.state().is_err()),
            Err(_) => self.broken = true,
        }
        saw("a completion of a client");
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        for server in &self.servers {
            let _ = s.server(*server).close();
        }
        assert_eq!(self.told, self.known.last_id.get(), "every id was answered");
        assert!(!self.broken || close.unsent > 0, "{close:?}");
        let accepted = self.known.accepted.get() as u64;
        if !self.longer {
            assert_eq!(close.bytes_written + close.unsent as u64, accepted, "{close:?}");
        }
        self.known.last_word(matches!(close.reason, Reason::Ended));
        closed(&self.known, close);
    }
}

/// The writes that are planned, up to a `Full` one or one that waits; then the end.
fn talk_on(cx: &mut Cx<'_>, key: SocketKey, known: &Shared) {
    loop {
        let next = known.writing.borrow_mut().pop_front();
        let mut s = cx.socket(key);
        let Some((Wrote::Bytes(size), when)) = next else { return s.end() };
        let data = some_bytes(known.accepted.get(), size);
        let id = known.accepted.get() + size;
        let with_id = size > 0 && size % 3 == 0;
        let half = size / 2;
        let flow = match size % 5 {
            _ if with_id => s.write_id(data, id as u64),
            0 => s.write(&data[..]),
            1 | 2 => s.write_gathered(&[(&data[..half]).into(), data.slice(half..).into()]),
            _ => s.write(data),
        };
        if flow == Flow::Closed {
            return;
        }
        known.accepted.set(id);
        if with_id {
            known.last_id.set(id);
        }
        if let When::Timer(micros) = when {
            return s.set_timer(1, Duration::from_micros(micros));
        }
        if when != When::Now {
            let known = known.clone();
            return at(cx, when, move |cx| talk_on(cx, key, &known));
        }
        if flow == Flow::Full {
            return;
        }
    }
}

pub(crate) fn talk(lp: &mut Loop, writes: &[(usize, When)], route: Route, l: &Shared) {
    let (servers, first) = serve_all(lp, route, l);
    let writes = writes.iter().map(|(size, when)| (Wrote::Bytes(*size), *when));
    *l.writing.borrow_mut() = writes.collect();
    add(&l.sockets, 0);
    let longer = route.filters.contains(&Some(Filtered::Records));
    let (told, broken, gave_back) = (0, false, false);
    let handler = Talks { servers, known: l.clone(), told, broken, gave_back, longer };
    let client = lp.connect(connecting(first, route), handler);
    meddle(lp, client, None, route, l);
}
