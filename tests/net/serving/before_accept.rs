//! What a server's callback may do before it accepts its connection. An observer gives that
//! connection its place in the loop earlier; the outcome is the same with and without one.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use tidegate::prelude::*;

use crate::support::*;

type Action = fn(Incoming<'_>, &Log);

struct Acts(Action, Log);

impl ServerHandler for Acts {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        (self.0)(conn, &self.1);
    }
    fn on_close(&mut self, _: &mut ServerCx<'_>) {
        self.1.add("server closed");
    }
}

struct Tells(Log);

impl Handler for Tells {
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        self.0.add("shutdown");
        s.end();
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        self.0.add(format!("closed: {}, {} unsent", close.reason, close.unsent));
    }
}

/// What was told, and what is counted, after one connection came. Every wait ends with the
/// first turn.
fn outcome(watched: bool, action: Action) -> Vec<String> {
    let mut lp = guarded();
    if watched {
        lp.observe(Trace::default());
    }
    let log = Log::default();
    let server = lp.serve("127.0.0.1:0", Acts(action, log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _client = client(at);
    for turn in 0..4 {
        let ran = catch_unwind(AssertUnwindSafe(|| match turn {
            0 => lp.run_once().unwrap(),
            _ => lp.run_nowait().unwrap(),
        }));
        if ran.is_err() {
            log.add("panicked");
        }
    }
    log.add(format!("{:?}", lp.server(server).stats()));
    log.add(format!("{:?}", lp.net_metrics()));
    log.add(format!("{} open, {} handles", lp.server(server).connections().len(), lp.handles()));
    log.lines()
}

fn note(conn: &mut Incoming<'_>, log: &Log) {
    let server = conn.server_key();
    let stats = conn.server(server).stats().unwrap();
    log.add(format!(
        "{} open, {} listed",
        stats.connections,
        conn.server(server).connections().len()
    ));
    log.add(format!("{} sockets", conn.net_metrics().sockets));
}

const MINUTE: Duration = Duration::from_secs(60);

const ACTIONS: &[(&str, Action)] = &[
    ("nothing", |_, _| {}),
    ("key and nothing", |mut conn, _| {
        conn.key();
    }),
    ("reject", |conn, _| conn.reject()),
    ("detach", |conn, log| log.add(format!("{:?}", conn.detach().is_ok()))),
    ("key and detach", |mut conn, log| {
        conn.key();
        log.add(format!("{:?}", conn.detach().is_ok()));
    }),
    ("accept", |conn, log| {
        conn.accept(Tells(log.clone()));
    }),
    ("look around and accept", |mut conn, log| {
        note(&mut conn, log);
        conn.accept(Tells(log.clone()));
    }),
    ("look around and reject", |mut conn, log| {
        note(&mut conn, log);
        conn.reject();
    }),
    ("destroy by key", |mut conn, log| {
        let key = conn.key();
        conn.socket(key).destroy();
        conn.accept(Tells(log.clone()));
    }),
    ("destroy by key and nothing", |mut conn, _| {
        let key = conn.key();
        conn.socket(key).destroy();
    }),
    ("write by key and reject", |mut conn, _| {
        let key = conn.key();
        assert_eq!(conn.socket(key).write(b"busy"), Flow::Ready);
        conn.reject();
    }),
    ("write by key and detach", |mut conn, log| {
        let key = conn.key();
        assert_eq!(conn.socket(key).write(b"hello"), Flow::Ready);
        log.add(format!("{:?}", conn.detach().is_ok()));
    }),
    ("pipe by key and nothing", |mut conn, log| {
        let (key, l) = (conn.key(), log.clone());
        let piped = conn.pipe(key, key, move |_, r| l.add(format!("pipe {}", r.is_ok())));
        assert!(piped.is_ok());
    }),
    ("close the server and accept", |mut conn, log| {
        conn.server(conn.server_key()).close().unwrap();
        conn.accept(Tells(log.clone()));
    }),
    ("close the server and nothing", |mut conn, _| {
        conn.server(conn.server_key()).close().unwrap();
    }),
    ("shut down and accept", |mut conn, log| {
        conn.server(conn.server_key()).shutdown(MINUTE).unwrap();
        conn.accept(Tells(log.clone()));
    }),
    ("shut down and reject", |mut conn, _| {
        conn.server(conn.server_key()).shutdown(MINUTE).unwrap();
        conn.reject();
    }),
    ("accept and shut down", |conn, log| {
        let server = conn.server_key();
        conn.accept(Tells(log.clone())).server(server).shutdown(MINUTE).unwrap();
    }),
    ("close all and accept", |mut conn, log| {
        conn.cx().close_all();
        conn.accept(Tells(log.clone()));
    }),
    ("close all and nothing", |mut conn, _| conn.cx().close_all()),
    ("panic", |_, _| resume_unwind(Box::new("on purpose"))),
    ("panic after the key", |mut conn, _| {
        conn.key();
        resume_unwind(Box::new("on purpose"))
    }),
    ("panic after accept", |conn, log| {
        conn.accept(Tells(log.clone()));
        resume_unwind(Box::new("on purpose"))
    }),
    ("panic after reject", |conn, _| {
        conn.reject();
        resume_unwind(Box::new("on purpose"))
    }),
    ("tick", |mut conn, log| {
        let l = log.clone();
        conn.next_tick(move |cx| l.add(format!("tick, {} sockets", cx.net_metrics().sockets)));
    }),
    ("pause accepting", |mut conn, log| {
        conn.server(conn.server_key()).pause().unwrap();
        conn.accept(Tells(log.clone()));
    }),
];

#[test]
fn it_comes_to_the_same_with_and_without_an_observer() {
    let mut differ = Vec::new();
    for (name, action) in ACTIONS {
        let (seen, unseen) = (outcome(true, *action), outcome(false, *action));
        if seen != unseen {
            differ.push(format!("{name}:\n  {seen:#?}\n  {unseen:#?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

fn of(name: &str) -> Action {
    ACTIONS.iter().find(|(n, _)| *n == name).unwrap().1
}

/// Node: `server.close` inside of 'connection' waits for that one, too.
#[test]
fn shutdown_reaches_the_connection_that_is_offered() {
    for watched in [false, true] {
        let told = outcome(watched, of("shut down and accept"));
        assert!(told.iter().any(|line| line == "shutdown"), "observed: {watched}: {told:?}");
    }
}

#[test]
fn close_all_takes_the_connection_that_is_offered() {
    for watched in [false, true] {
        let told = outcome(watched, of("close all and accept"));
        assert!(
            told.iter().any(|line| line.starts_with("closed: ")),
            "observed: {watched}: {told:?}"
        );
        assert!(told.iter().any(|line| line == "server closed"), "observed: {watched}: {told:?}");
    }
}

/// `NetMetrics`: "Take two and subtract."
#[test]
fn bytes_of_a_rejected_connection_stay_counted() {
    let mut lp = guarded();
    let during = Log::default();
    let d = during.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let key = conn.key();
            assert_eq!(conn.socket(key).write(b"busy"), Flow::Ready);
            d.add(conn.net_metrics().bytes_written.to_string());
            conn.reject();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let c = client(at);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().rejected == 1);
    assert_eq!(read_to_end(&c), b"busy");
    assert_eq!(during.lines(), ["4"]);
    assert_eq!(lp.net_metrics().bytes_written, 4, "the kernel took them");
}

/// On most systems an accepted socket does not have the options of the one that listens.
#[test]
fn a_detached_connection_has_the_options_of_its_server() {
    for ask_for_key in [false, true] {
        let mut lp = guarded();
        let taken = Rc::new(RefCell::new(None));
        let t = taken.clone();
        let options = ListenOptions::new("127.0.0.1:0").no_delay(true);
        let server = lp
            .listen(options, move |mut conn| {
                if ask_for_key {
                    conn.key();
                }
                *t.borrow_mut() = Some(conn.detach().unwrap());
            })
            .unwrap();
        let at = lp.server(server).local_addr().unwrap();
        let _client = client(at);
        turn_until(&mut lp, |_| taken.borrow().is_some());
        assert!(taken.borrow().as_ref().unwrap().nodelay().unwrap(), "key: {ask_for_key}");
    }
}
