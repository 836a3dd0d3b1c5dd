//! Errors of the user's own as the reason of a close: `destroy_with`.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::rc::Rc;

use tidegate::net::*;
use tidegate::prelude::*;
use tidegate::stream::StreamError;

use crate::support::*;

/// An error of the program's. Its drop is seen.
#[derive(Debug)]
struct BadGreeting(&'static str, Option<&'static std::sync::atomic::AtomicU32>);

impl fmt::Display for BadGreeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the greeting was {:?}", self.0)
    }
}

impl Error for BadGreeting {}

impl Drop for BadGreeting {
    fn drop(&mut self) {
        if let Some(drops) = self.1 {
            drops.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

/// Sends a greeting to a connection that does not like it, and gives its close.
fn close_of(destroy: impl Fn(&mut SocketCx<'_>) + 'static) -> Close {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, b"hello");
    let close = Rc::new(RefCell::new(None));
    let c = close.clone();
    let on = On::new().data(move |s, _| destroy(s));
    lp.adopt(ours, on.close(move |_, close| *c.borrow_mut() = Some(close))).unwrap();
    lp.run().unwrap();
    let close = close.borrow_mut().take();
    close.unwrap()
}

#[test]
fn on_close_gets_the_error() {
    let close = close_of(|s| {
        s.destroy_with(BadGreeting("hello", None));
        assert_eq!(s.write(b"too late"), Flow::Closed);
        s.destroy_with("only the first counts");
    });
    let e = close.reason.error().unwrap();
    assert_eq!((e.stage(), e.stage().to_string()), (Stage::Application, "application".into()));
    assert!(close.reason.is_error() && e.remote().is_some() && e.elapsed().is_some());
    let source = e.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
    let own = source.get_ref().unwrap().downcast_ref::<BadGreeting>().unwrap();
    assert_eq!(own.0, "hello");
    let text = close.to_string();
    let begins = format!("connection with {} failed after ", close.peer.unwrap());
    assert!(text.starts_with(&begins) && text.contains("the greeting was \"hello\""), "{text}");
    // A text will do, and an io::Error keeps its kind.
    let text = close_of(|s| s.destroy_with("no greeting")).to_string();
    assert!(text.contains(": no greeting"), "{text}");
    let own = || std::io::Error::new(ErrorKind::InvalidData, "no greeting");
    let close = close_of(move |s| s.destroy_with(own()));
    assert_eq!(close.reason.error().unwrap().kind(), ErrorKind::InvalidData);
}

/// Before it is connected: it names the target, and the error is the user's.
#[test]
fn a_connect_that_is_given_up_with_an_error() {
    let mut lp = guarded();
    let close = Rc::new(RefCell::new(None));
    let c = close.clone();
    let options = ConnectOptions::new("tide.example:80").lookup(|_, _, _| {});
    let key = lp.connect(options, On::new().close(move |_, close| *c.borrow_mut() = Some(close)));
    lp.socket(key).destroy_with("not needed any more");
    lp.run().unwrap();
    let text = close.borrow_mut().take().unwrap().to_string();
    assert!(text.starts_with("connection to tide.example:80 failed after "), "{text}");
    assert!(text.ends_with(": not needed any more"), "{text}");
}

/// An error that comes too late is not dropped inside the call.
#[test]
fn an_error_for_one_that_is_over_is_dropped_later() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static DROPS: AtomicU32 = AtomicU32::new(0);
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    lp.socket(key).destroy();
    lp.run().unwrap();
    let ran = Rc::new(Cell::new(false));
    let r = ran.clone();
    lp.next_tick(move |cx| {
        cx.socket(key).destroy_with(BadGreeting("late", Some(&DROPS)));
        assert_eq!(DROPS.load(Ordering::Relaxed), 0);
        r.set(true);
    });
    lp.run().unwrap();
    assert!(ran.get());
    assert_eq!(DROPS.load(Ordering::Relaxed), 1);
}

/// Without an `on_close` it counts as an error that nobody handled.
#[test]
fn unhandled_it_is_counted() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    lp.socket(key).destroy_with("nobody listens");
    lp.run().unwrap();
    assert_eq!(lp.metrics().unhandled_errors, 1);
    assert_eq!((lp.net_metrics().closed, lp.net_metrics().failed), (1, 1));
}

/// The pipe that it is an end of gets it as its cause.
#[test]
fn a_pipe_gets_it_as_its_cause() {
    let mut lp = guarded();
    let ((_a, from), (_b, to)) = (pair(), pair());
    let from = lp.adopt(from, On::new()).unwrap();
    let to = lp.adopt(to, On::new()).unwrap();
    let done = Rc::new(RefCell::new(None));
    let d = done.clone();
    lp.pipe(from, to, move |_, result| *d.borrow_mut() = Some(result)).unwrap();
    lp.socket(from).destroy_with(BadGreeting("hello", None));
    lp.run().unwrap();
    let error = done.borrow_mut().take().unwrap().unwrap_err();
    assert!(matches!(error.cause, StreamError::Failed(_)), "{error}");
    assert!(error.to_string().contains("the greeting was \"hello\""), "{error}");
}

/// The observer's line has the stage.
#[test]
fn an_observer_sees_the_stage() {
    let mut lp = guarded();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let (_peer, ours) = pair();
    let key = lp.adopt(ours, On::new().close(|_, _| {})).unwrap();
    lp.socket(key).destroy_with("seen");
    lp.run().unwrap();
    let stage = trace.net().into_iter().find_map(|(_, e)| match e {
        NetEvent::Socket(_, SocketEvent::Closed { reason, .. }) => {
            reason.error().map(|e| e.stage())
        }
        _ => None,
    });
    assert_eq!(stage, Some(Stage::Application));
}
