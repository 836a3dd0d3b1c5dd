//! Every error, produced by what causes it, and its text read: it says what was done, where,
//! for how long, and why it failed.

use std::cell::RefCell;
use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

/// The close of one connection, made by `start`.
fn close(start: impl FnOnce(&mut Loop, On) -> Option<SocketKey>) -> Close {
    let mut lp = guarded();
    let end = Rc::new(RefCell::new(None));
    let e = end.clone();
    start(&mut lp, On::new().close(move |_, c| *e.borrow_mut() = Some(c)));
    lp.run().unwrap();
    end.borrow_mut().take().expect("it is over")
}

/// A peer for one connection: a listener of the standard library's.
fn listener() -> (TcpListener, SocketAddr) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = l.local_addr().unwrap();
    (l, at)
}

/// Checks a failed operation's stage, code and text, and that its chain ends in an io::Error.
fn assert_error(close: &Close, stage: Stage, code: Option<&str>, begins: &str, ends: &str) {
    let e = close.reason.error().expect("an operation failed");
    let text = close.reason.to_string();
    assert_eq!((e.stage(), e.code()), (stage, code), "{text}");
    assert!(text.starts_with(begins), "{text:?} does not begin with {begins:?}");
    assert!(text.contains(ends), "{text:?} does not say {ends:?}");
    assert!(e.elapsed().is_some(), "{text}");
    assert!(e.source().unwrap().is::<std::io::Error>());
    assert!(close.reason.is_error());
}

#[test]
fn connect_and_lookup() {
    let at = closed_port();
    let refused = close(|lp, on| Some(lp.connect(at, on)));
    let begins = format!("connect to {at} failed after ");
    let code = Some("ECONNREFUSED");
    let words = ": connection refused (ECONNREFUSED) [from 127.0.0.1:";
    assert_error(&refused, Stage::Connect, code, &begins, words);

    let answer = |fault: LookupFault| {
        move |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| answer.give(cx, Err(fault.into()))
    };
    for (fault, code, words) in [
        (LookupFault::NotFound, "ENOTFOUND", "there is no such name (ENOTFOUND)"),
        (LookupFault::TryAgain, "EAI_AGAIN", "the resolver got no answer; try again (EAI_AGAIN)"),
    ] {
        let options = ConnectOptions::new("tide.example:80").lookup(answer(fault));
        let c = close(|lp, on| Some(lp.connect(options, on)));
        assert_error(&c, Stage::Lookup, Some(code), "lookup of tide.example:80 failed", words);
    }
    for (text, words) in [
        ("nowhere", "\"nowhere\" is not a valid address: the port is missing; write HOST:PORT"),
        ("h:99999", "the port must be 0 to 65535"),
        ("::1:80", "write an IPv6 address in brackets, as [::1]:80"),
    ] {
        let c = close(|lp, on| Some(lp.connect(text, on)));
        assert_error(&c, Stage::Lookup, None, "lookup failed after", words);
        assert_eq!(c.reason.error().unwrap().kind(), ErrorKind::InvalidInput);
    }
    let nobody = ConnectOptions::new(at).local_address([192, 0, 2, 1].into());
    let c = close(|lp, on| Some(lp.connect(nobody, on)));
    let words = format!("(EADDRNOTAVAIL) [to connect to {at}]");
    assert_error(&c, Stage::Bind, Some("EADDRNOTAVAIL"), "bind on 192.0.2.1:0 failed", &words);
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn reads_and_writes() {
    let (l, at) = listener();
    // Not before the connection is made on both sides.
    let peer = std::thread::spawn(move || {
        let mut c = l.accept().unwrap().0;
        std::io::Read::read_exact(&mut c, &mut [0]).unwrap();
        reset(c);
    });
    let hello = |s: &mut SocketCx<'_>| {
        let _ = s.write(b"x");
    };
    let c = close(|lp, on| Some(lp.connect(at, on.connect(hello))));
    peer.join().unwrap();
    let begins = format!("read with {at} failed after ");
    let words = ": connection reset by peer (ECONNRESET) [from 127.0.0.1:";
    assert_error(&c, Stage::Read, Some("ECONNRESET"), &begins, words);

    // Writing broke: reading has gone on to the end, and then the write's error is reported.
    let (l, at) = listener();
    let c = close(|lp, on| {
        let key = lp.connect(ConnectOptions::new(at).allow_half_open(true), on);
        let mut peer = Some(l.accept().unwrap().0);
        lp.interval(MS, move |cx, me| {
            drop(peer.take());
            let mut s = cx.socket(key);
            // The first is answered by a reset, which another finds, or a read.
            if s.write(b"x") == Flow::Closed {
                cx.close(me).unwrap();
            }
        });
        Some(key)
    });
    let e = c.reason.error().unwrap();
    assert!(matches!(e.stage(), Stage::Write | Stage::Read), "{c}");
    assert!(matches!(e.code(), Some("EPIPE" | "ECONNRESET")), "{c}");
    assert!(c.to_string().contains(&format!("{} with {at} failed after ", e.stage())), "{c}");
}

#[test]
fn a_filter_that_refuses() {
    struct No;
    impl Filter for No {
        fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
            Err("not our protocol".into())
        }
        fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
            Ok(user.len())
        }
    }
    let (l, at) = listener();
    let peer = std::thread::spawn(move || {
        let c = l.accept().unwrap().0;
        write_all(&c, b"?");
        c
    });
    let c = close(|lp, on| {
        let key = lp.connect(at, on);
        lp.socket(key).set_filter(No);
        Some(key)
    });
    drop(peer.join().unwrap());
    assert_error(&c, Stage::Filter, None, &format!("filter with {at} failed"), "not our protocol");
}

/// The kernel will not watch it: its own descriptor is no socket any more.
#[test]
#[cfg(unix)]
#[allow(unsafe_code)]
fn the_poller_refuses() {
    use std::os::fd::AsRawFd;
    let c = close(|lp, on| {
        let (l, at) = listener();
        let stream = std::net::TcpStream::connect(at).unwrap();
        let _peer = l.accept().unwrap();
        let number = stream.as_raw_fd();
        let key = lp.adopt(stream, on).unwrap();
        // Something else in its place: epoll(7) watches no such file.
        let file = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: both are open descriptors of this process; the second becomes a copy of
        // the first, and is closed with the connection.
        assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), number) }, number);
        Some(key)
    });
    let e = c.reason.error().unwrap();
    // Reading may come first.
    assert!(matches!(e.stage(), Stage::Register | Stage::Read), "{c}");
}

#[test]
fn deadlines() {
    type Options = fn(ConnectOptions) -> ConnectOptions;
    let cases: [(Options, &str); 2] =
        [(|o| o.idle_timeout(5 * MS), "idle timeout"), (|o| o.lifetime(5 * MS), "lifetime")];
    for (options, which) in cases {
        let (l, at) = listener();
        let c = close(|lp, on| Some(lp.connect(options(ConnectOptions::new(at)), on)));
        drop(l);
        let begins = format!("connection with {at} timed out after ");
        assert_error(&c, Stage::Open, None, &begins, " (from 127.0.0.1:");
        assert!(c.to_string().ends_with(&format!("; {which})")), "{c}");
        assert_eq!(c.reason.error().unwrap().kind(), ErrorKind::TimedOut);
    }
    let never = ConnectOptions::new("tide.example:80").lookup(|_, _, _| {});
    let c = close(|lp, on| Some(lp.connect(never.connect_timeout(5 * MS), on)));
    let begins = "connect to tide.example:80 timed out after ";
    assert_error(&c, Stage::Connect, None, begins, " (connect timeout)");
    assert_eq!(c.reason.error().unwrap().timeout(), Some(Timeout::Connect));
}

#[test]
fn ends_that_are_no_operations() {
    let (l, at) = listener();
    let limited = ConnectOptions::new(at).write_limit(1000);
    let c = close(|lp, on| {
        let key = lp.connect(limited, on);
        while lp.socket(key).write(&[0; 600]) != Flow::Closed {}
        Some(key)
    });
    let text = c.to_string();
    assert!(matches!(c.reason, Reason::WriteLimit { scope: Scope::Socket, .. }), "{text}");
    assert!(text.ends_with("write_limit is 1000 (1200 bytes unsent)"), "{text}");

    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(1000)).build().unwrap());
    let said = Log::default();
    let s = said.clone();
    let key = lp.connect(at, On::new().close(move |_, c| s.add(c.to_string())));
    while lp.socket(key).write(&[0; 600]) != Flow::Closed {}
    lp.run().unwrap();
    assert!(said.lines()[0].contains("buffered_limit is 1000"), "{:?}", said.lines());

    // One end of a pipe breaks: the other is closed, and says why.
    let c = close(|lp, on| {
        let key = lp.connect(at, on);
        struct Quiet;
        impl tidegate::stream::Source for Quiet {
            fn read(
                &mut self,
                _: &mut tidegate::stream::ReadableCx<'_>,
            ) -> Result<(), tidegate::stream::BoxError> {
                Ok(())
            }
        }
        let from = lp.open_readable(Default::default(), Quiet, ()).unwrap();
        lp.pipe(from, key, |_, result| {
            assert_eq!(result.unwrap_err().to_string(), "the pipe's source failed: no disk");
        })
        .unwrap();
        lp.readable(from).fail("no disk");
        Some(key)
    });
    assert_eq!(c.to_string(), "its pipe broke: the other end failed: no disk");
    assert!(c.piped && c.reason.is_error());

    let c = close(|lp, on| {
        let key = lp.connect(at, on);
        lp.socket(key).destroy();
        Some(key)
    });
    assert_eq!((c.to_string().as_str(), c.reason.is_error()), ("destroyed", false));
    drop(l);
}

#[test]
fn servers() {
    let mut lp = guarded();
    let (_l, taken) = listener();
    let e = lp.listen(taken, |c| c.reject()).unwrap_err();
    // Windows has other words for it.
    let words = if cfg!(unix) { "address already in use " } else { "" };
    let (text, begins) = (e.to_string(), format!("bind on {taken} failed: {words}"));
    assert!(text.starts_with(&begins) && text.ends_with(" (EADDRINUSE)"), "{text}");
    assert!(e.source().unwrap().is::<NetError>());
    let io: std::io::Error = e.into();
    assert_eq!(io.kind(), ErrorKind::AddrInUse);
    let e = lp.listen("127.0.0.1", |c| c.reject()).unwrap_err();
    assert!(matches!(&e, ListenError::Address(a) if a.fault == AddressFault::NoPort));
    assert_eq!(std::io::Error::from(e).kind(), ErrorKind::InvalidInput);
    let e = lp.listen("no-such-name.invalid:80", |c| c.reject()).unwrap_err();
    let begins = "lookup of no-such-name.invalid:80 failed: ";
    assert!(e.to_string().starts_with(begins), "{e}");

    let overload = Overload::Shed { connections: 2 };
    assert!(overload.to_string().ends_with("raise the limit of open files"));
    assert!(Overload::Held.to_string().starts_with("connections wait: no descriptor or memory"));
    let dropped = Overload::MaxConnections { peer: Some(taken), dropped: 3 }.to_string();
    assert_eq!(dropped, format!("{taken} was closed: max_connections are open (3 dropped so far)"));
    assert!(RuleError::Prefix.to_string().contains("at most 32 bits"));
    assert!(RuleError::Range.to_string().contains("from a lower to a higher address"));
}
