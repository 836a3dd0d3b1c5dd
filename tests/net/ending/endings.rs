//! Every way in which a connection can end, and its callbacks, in order. The same table stands
//! in the manual (`endings`), and this file reads it there: who changes one changes both.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

/// Logs all callbacks of a connection, the close with its reason alone.
struct Told {
    log: Log,
    /// In this callback it is destroyed.
    destroy_in: &'static str,
    /// At the peer's end, ours follows only then.
    end_later: bool,
    pause_at_data: bool,
}

impl Told {
    fn tell(&self, s: &mut SocketCx<'_>, what: &'static str) {
        self.log.add(what);
        if self.destroy_in == what {
            s.destroy();
        }
    }
}

impl Handler for Told {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.tell(s, "connect");
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, _: &[u8]) {
        if !self.log.has("data") {
            self.tell(s, "data");
        }
        if self.pause_at_data {
            s.pause();
        }
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.tell(s, "drain");
    }
    fn on_written(&mut self, s: &mut SocketCx<'_>, _: u64, result: Result<(), &Reason>) {
        self.tell(s, if result.is_ok() { "written" } else { "not written" });
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.tell(s, "end");
        if self.end_later {
            let key = s.key();
            s.timer(MS, move |cx, _| cx.socket(key).end());
        }
    }
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.tell(s, "finish");
    }
    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        self.log.add("timeout");
        s.time_out();
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        let why = match &close.reason {
            Reason::Ended => "ended".to_owned(),
            Reason::Destroyed => "destroyed".to_owned(),
            Reason::TimedOut(which, _) => which.to_string(),
            Reason::WriteLimit { .. } => "write limit".to_owned(),
            Reason::Failed(e) => format!("{} {}", e.stage(), e.code().unwrap_or("?")),
            other => other.to_string(),
        };
        self.log.add(format!("close: {why}"));
    }
}

fn told(log: &Log) -> Told {
    Told { log: log.clone(), destroy_in: "", end_later: false, pause_at_data: false }
}

/// One scene: a server for one connection, and its peer.
struct Scene {
    lp: Guarded,
    log: Log,
    peer: TcpStream,
    key: SocketKey,
}

fn scene(
    options: impl FnOnce(ListenOptions) -> ListenOptions,
    handler: impl FnOnce(Told) -> Told,
) -> Scene {
    let mut lp = guarded();
    let log = Log::default();
    let key = Rc::new(Cell::new(None));
    let (k, mut h) = (key.clone(), Some(handler(told(&log))));
    let server = lp
        .listen(options(ListenOptions::new("127.0.0.1:0")), move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let s = conn.accept(h.take().unwrap());
            k.set(Some(s.key()));
        })
        .unwrap();
    let peer = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| key.get().is_some());
    Scene { lp, log, peer, key: key.get().unwrap() }
}

impl Scene {
    fn run(mut self) -> String {
        self.lp.run().unwrap();
        assert_eq!(handles(&self.lp), 0);
        self.log.lines().join(", ")
    }

    fn socket(&mut self) -> SocketCx<'_> {
        self.lp.socket(self.key)
    }

    /// A write that the kernel cannot take.
    fn stall(&mut self) {
        let big = bytes::Bytes::from(vec![0; 16 << 20]);
        assert_eq!(self.socket().write_id(big, 1), Flow::Full);
    }
}

fn plain() -> Scene {
    scene(|o| o, |h| h)
}

fn half_open() -> Scene {
    scene(|o| o.allow_half_open(true), |h| h)
}

/// A connection of our own, and its callbacks.
fn connect(options: impl Into<ConnectOptions>, act: impl FnOnce(&mut Loop, SocketKey)) -> String {
    let mut lp = guarded();
    let log = Log::default();
    let key = lp.connect(options, told(&log));
    act(&mut lp, key);
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
    log.lines().join(", ")
}

/// What happens, and how it is done.
fn endings() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut ends = |what: &'static str, told: String| all.push((what, told));

    ends("the peer ends first", {
        let s = plain();
        s.peer.shutdown(Shutdown::Write).unwrap();
        s.run()
    });
    ends("we end first", {
        let mut s = plain();
        s.socket().end();
        s.lp.run_nowait().unwrap();
        s.peer.shutdown(Shutdown::Write).unwrap();
        s.run()
    });
    ends("the peer ends, half-open: we end later", {
        let s = scene(|o| o.allow_half_open(true), |h| Told { end_later: true, ..h });
        s.peer.shutdown(Shutdown::Write).unwrap();
        s.run()
    });
    ends("we end, half-open: the peer sends on, and ends later", {
        let mut s = half_open();
        s.socket().end();
        turn_until(&mut s.lp, |_| s.log.has("finish"));
        write_all(&s.peer, b"more");
        s.peer.shutdown(Shutdown::Write).unwrap();
        s.run()
    });
    ends("the peer ends with bytes of ours still queued", {
        let mut s = plain();
        s.stall();
        s.peer.shutdown(Shutdown::Write).unwrap();
        let peer = s.peer.try_clone().unwrap();
        let reader = std::thread::spawn(move || (&peer).read_to_end(&mut Vec::new()));
        let told = s.run();
        reader.join().unwrap().unwrap();
        told
    });
    ends("the peer closes, while we write on", {
        let mut s = half_open();
        let peer = std::mem::replace(&mut s.peer, client_of_nobody());
        write_all(&peer, b"last");
        drop(peer);
        turn_until(&mut s.lp, |_| s.log.has("end"));
        // The first is answered by a reset.
        let _ = s.socket().write(b"x");
        let key = s.key;
        s.lp.interval(MS, move |cx, me| {
            if cx.socket(key).write(b"y") == Flow::Closed {
                cx.close(me).unwrap();
            }
        });
        s.run()
    });
    ends("reset while idle", {
        let mut s = plain();
        reset(std::mem::replace(&mut s.peer, client_of_nobody()));
        s.run()
    });
    ends("reset after bytes that were not read yet", {
        let mut s = plain();
        write_all(&s.peer, b"unread");
        reset(std::mem::replace(&mut s.peer, client_of_nobody()));
        s.run()
    });
    ends("reset while a write waits", {
        let mut s = plain();
        s.stall();
        reset(std::mem::replace(&mut s.peer, client_of_nobody()));
        s.run()
    });
    ends("reset while paused, then resumed", {
        let mut s = scene(|o| o.pause_on_connect(true), |h| h);
        reset(std::mem::replace(&mut s.peer, client_of_nobody()));
        let key = s.key;
        turn_until(&mut s.lp, |lp| lp.socket(key).peer_state() == PeerState::Gone);
        s.socket().resume();
        s.run()
    });
    ends("reset after the peer's end, half-open", {
        let mut s = half_open();
        s.peer.shutdown(Shutdown::Write).unwrap();
        turn_until(&mut s.lp, |_| s.log.has("end"));
        reset(std::mem::replace(&mut s.peer, client_of_nobody()));
        s.run()
    });
    ends("we destroy it", {
        let mut s = plain();
        s.socket().destroy();
        s.run()
    });
    ends("we destroy it while a write waits", {
        let mut s = plain();
        s.stall();
        s.socket().destroy();
        s.run()
    });
    ends("we reset it", {
        let mut s = plain();
        s.socket().reset();
        let peer = s.peer.try_clone().unwrap();
        let told = s.run();
        assert!(was_reset(&peer));
        told
    });
    ends("destroyed in on_data", {
        let s = scene(|o| o, |h| Told { destroy_in: "data", ..h });
        write_all(&s.peer, b"x");
        s.run()
    });
    ends("destroyed in on_end", {
        let s = scene(|o| o, |h| Told { destroy_in: "end", ..h });
        s.peer.shutdown(Shutdown::Write).unwrap();
        s.run()
    });
    ends("destroyed in on_written", {
        let mut s = scene(|o| o, |h| Told { destroy_in: "written", ..h });
        let _ = s.socket().write_id("x", 1);
        s.run()
    });
    ends("destroyed in on_finish", {
        let mut s = scene(|o| o, |h| Told { destroy_in: "finish", ..h });
        s.socket().end();
        s.run()
    });
    ends("destroyed in on_drain", {
        let mut s = scene(|o| o, |h| Told { destroy_in: "drain", ..h });
        s.stall();
        let peer = s.peer.try_clone().unwrap();
        let reader = std::thread::spawn(move || (&peer).read_to_end(&mut Vec::new()));
        let told = s.run();
        let _ = reader.join().unwrap();
        told
    });
    ends("the producer ignores Full", {
        let mut s = scene(|o| o.write_limit(1 << 20), |h| h);
        while s.socket().write(&[0; 100_000]) != Flow::Closed {}
        s.run()
    });
    ends("no byte for too long", scene(|o| o.idle_timeout(10 * MS), |h| h).run());
    ends("open for too long", scene(|o| o.lifetime(10 * MS), |h| h).run());
    ends("the peer has ended, and no byte for too long", {
        let s = scene(|o| o.allow_half_open(true).linger_timeout(10 * MS), |h| h);
        s.peer.shutdown(Shutdown::Write).unwrap();
        s.run()
    });
    ends("we have ended, and no byte for too long", {
        let mut s = scene(|o| o.linger_timeout(10 * MS), |h| h);
        s.socket().end();
        s.run()
    });
    ends("paused for too long", {
        let s = scene(|o| o.idle_timeout(20 * MS), |h| Told { pause_at_data: true, ..h });
        write_all(&s.peer, b"xx");
        s.run()
    });
    ends("the server shuts down", {
        let mut lp = guarded();
        let log = Log::default();
        let l = log.clone();
        let listen = lp.listen("127.0.0.1:0", move |conn| {
            conn.accept(told(&l));
        });
        let server = listen.unwrap();
        let peer = client(lp.server(server).local_addr().unwrap());
        turn_until(&mut lp, |lp| lp.server(server).connections().len() == 1);
        lp.server(server).shutdown(Duration::from_secs(5)).unwrap();
        turn_until(&mut lp, |_| log.has("finish"));
        drop(peer);
        lp.run().unwrap();
        log.lines().join(", ")
    });

    ends("connecting: refused", connect(closed_port(), |_, _| {}));
    ends("connecting: the address is not valid", connect("nowhere", |_, _| {}));
    ends("connecting: the name is not found", {
        let nobody = |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| {
            answer.give(cx, Err(LookupFault::NotFound.into()));
        };
        connect(ConnectOptions::new(("nobody", 80)).lookup(nobody), |_, _| {})
    });
    ends("connecting: too long in the lookup", {
        let options = ConnectOptions::new(("nobody", 80)).lookup(|_, _, _| {});
        connect(options.connect_timeout(10 * MS), |_, _| {})
    });
    ends("connecting: destroyed at once, a write queued", {
        connect(closed_port(), |lp, key| {
            let _ = lp.socket(key).write_id("x", 1);
            lp.socket(key).destroy();
        })
    });
    ends("connecting: reset at once", connect(closed_port(), |lp, key| lp.socket(key).reset()));
    ends("connecting: refused, a write and an end queued", {
        connect(closed_port(), |lp, key| {
            let _ = lp.socket(key).write_id("x", 1);
            lp.socket(key).end();
        })
    });
    ends("destroyed in on_connect", {
        let mut lp = guarded();
        let log = Log::default();
        let server = lp
            .listen("127.0.0.1:0", |mut conn| {
                conn.server(conn.server_key()).close().unwrap();
                conn.accept(On::new());
            })
            .unwrap();
        let at = lp.server(server).local_addr().unwrap();
        lp.connect(at, Told { destroy_in: "connect", ..told(&log) });
        lp.run().unwrap();
        log.lines().join(", ")
    });
    all
}

/// Something to put in the place of a peer that is gone.
fn client_of_nobody() -> TcpStream {
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    client(l.local_addr().unwrap())
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn every_ending_is_told_as_the_manual_says() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/manual/endings.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let rows: RefCell<Vec<(String, String)>> = RefCell::default();
    for line in manual.lines().filter_map(|l| l.strip_prefix("| ")) {
        let mut cells = line.trim_end_matches(" |").split(" | ").map(|c| c.trim().to_owned());
        if let (Some(what), Some(told)) = (cells.next(), cells.next()) {
            rows.borrow_mut().push((what, told));
        }
    }
    let seen = endings();
    let mut wrong = Vec::new();
    for (what, told) in &seen {
        let said = rows.borrow().iter().find(|(w, _)| w == what).map(|(_, t)| t.clone());
        // A cell may hold alternatives, where the kernel decides.
        let said = said.unwrap_or_default();
        if !said.split(" or ").any(|s| s == told) {
            wrong.push(format!("| {what} | {told} |   manual: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(rows.borrow().len() > seen.len(), "the head of the table is a row, too");
}
