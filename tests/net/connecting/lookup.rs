//! Lookups of the user's own: what an answer drops and keeps, and what the errors name.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn error_names_the_address_it_is_of() {
    let mut lp = guarded();
    let port = closed_port().port();
    let mut list = BlockList::new();
    list.add("127.0.0.2".parse().unwrap());
    let seen = Rc::new(RefCell::new(None));
    let s = seen.clone();
    let o = ConnectOptions::new(("tide.example", port)).block_list(list).lookup(|cx, _, a| {
        a.give(cx, Ok(vec!["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()]))
    });
    lp.connect(o, On::new().close(move |_, c| *s.borrow_mut() = Some(c)));
    lp.run().unwrap();
    let c = seen.borrow_mut().take().unwrap();
    let e = c.reason.error().unwrap();
    let of = e.attempts().iter().find(|a| a.error.kind() == e.kind()).unwrap().remote;
    assert_eq!((e.kind(), e.remote(), e.local()), (e.kind(), Some(of), None), "{c}");
}

thread_local! { static DROPPED: Cell<bool> = const { Cell::new(false) }; }

#[derive(Debug)]
struct Mine;

impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mine")
    }
}

impl std::error::Error for Mine {}

impl Drop for Mine {
    fn drop(&mut self) {
        DROPPED.set(true)
    }
}

#[test]
fn give_drops_nothing_in_the_call() {
    let mut lp = guarded();
    let inside = Rc::new(Cell::new(false));
    let i = inside.clone();
    lp.connect(
        ConnectOptions::new(("tide.example", 1)).lookup(move |cx, _, a| {
            a.give(cx, Err(std::io::Error::other(Mine)));
            i.set(DROPPED.get());
        }),
        On::new().close(|_, _| {}),
    );
    lp.run().unwrap();
    assert!(!inside.get(), "the error was dropped inside `give`");
}

#[test]
fn give_keeps_the_systems_code() {
    const UNREACHABLE: i32 = if cfg!(windows) { 10051 } else { libc::ENETUNREACH };
    let mut lp = guarded();
    let code = Rc::new(Cell::new(None));
    let c2 = code.clone();
    lp.connect(
        ConnectOptions::new(("tide.example", 1)).lookup(|cx, _, a| {
            a.give(cx, Err(std::io::Error::from_raw_os_error(UNREACHABLE)));
        }),
        On::new().close(move |_, c| {
            println!("{c}");
            c2.set(c.reason.error().unwrap().code())
        }),
    );
    lp.run().unwrap();
    assert_eq!(code.get(), Some("ENETUNREACH"));
}

#[test]
fn a_name_is_asked_anew_after_a_cancelled_lookup() {
    let mut lp = Loop::builder().work_threads(1).build().unwrap();
    // The one thread for lookups is busy until the second lookup has been asked for.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let busy = move || held.recv_timeout(DEADLINE).is_err();
    lp.work(busy, |_, _| {}).ok().unwrap();
    let mut release = Some(release);
    let log = Log::default();
    let (a, b) = (log.clone(), log.clone());
    let port = closed_port().port();
    lp.connect(
        ("localhost", port),
        On::new().close(move |cx, c| {
            a.add(format!("{c}"));
            let b = b.clone();
            cx.connect(("localhost", port), On::new().close(move |_, c| b.add(format!("{c}"))));
            drop(release.take());
        }),
    );
    lp.close_all();
    let b = log.clone();
    lp.connect(("localhost", port), On::new().close(move |_, c| b.add(format!("{c}"))));
    lp.run().unwrap();
    let lines = log.lines();
    assert!(!lines.iter().any(|l| l.contains("cancelled")), "{lines:?}");
}

#[test]
fn a_connect_timeout_tells_what_was_tried() {
    let Some((l, _fill)) = silent() else { return println!("skipped") };
    let port = l.local_addr().unwrap().port();
    let mut lp = guarded();
    let n = Rc::new(RefCell::new((99, String::new())));
    let m = n.clone();
    let o = ConnectOptions::new(("tide.example", port))
        .attempt_delay(10 * MS)
        .connect_timeout(60 * MS)
        .lookup(|cx, _, a| {
            a.give(
                cx,
                Ok(["127.0.0.1", "127.0.0.2", "127.0.0.3"]
                    .iter()
                    .map(|a| a.parse().unwrap())
                    .collect()),
            )
        });
    lp.connect(
        o,
        On::new().close(move |_, c| {
            *m.borrow_mut() = (c.reason.error().unwrap().attempts().len(), c.to_string())
        }),
    );
    lp.run().unwrap();
    assert_eq!(n.borrow().0, 3, "{}", n.borrow().1);
}
