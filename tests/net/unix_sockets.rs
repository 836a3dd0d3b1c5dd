//! Unix domain sockets: the same handlers on a path.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

/// A path of this test's own.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tidegate-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn echo(conn: Incoming<'_>) {
    assert_eq!(conn.peer_addr(), None);
    conn.accept(
        On::new()
            .data(|s, chunk| {
                if s.write(chunk) == Flow::Full {
                    s.pause();
                }
            })
            .drain(|s| s.resume()),
    );
}

/// server-listen-path, pingpong: both sides here, megabytes, and the file goes with the
/// server.
#[test]
fn an_echo_over_a_path() {
    let path = path("echo");
    let mut lp = guarded();
    let server = lp.listen(ListenOptions::unix(&path), echo).unwrap();
    assert_eq!(lp.server(server).endpoint(), Ok(Endpoint::Path(path.clone())));
    assert_eq!(lp.server(server).local_addr().unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(path.exists());
    let data: Vec<u8> = (0..4_000_000u32).map(|n| (n % 251) as u8).collect();
    let (back, said) = (Rc::new(RefCell::new(Vec::new())), Log::default());
    let (b, d, s) = (back.clone(), data.clone(), said.clone());
    let on = On::new()
        .connect(move |s| {
            assert_eq!((s.peer_addr(), s.bytes_written()), (None, 0));
            let _ = s.write(Bytes::from(d.clone()));
            s.end();
        })
        .data(move |_, chunk| b.borrow_mut().extend_from_slice(chunk))
        .close(move |s2, close| {
            s.add(close.to_string());
            s2.server(server).close().unwrap();
        });
    lp.connect(ConnectOptions::unix(&path), on);
    lp.run().unwrap();
    assert!(*back.borrow() == data);
    assert_eq!(said.lines(), ["both sides ended"]);
    assert!(!path.exists(), "it went with the server");
}

/// pipe-connect-errors, better-error-messages-path: nobody, no file, no socket; the path is
/// in the text.
#[test]
fn connect_errors_name_the_path() {
    let mut lp = guarded();
    let (none, plain, dead) = (path("none"), path("plain"), path("dead"));
    std::fs::write(&plain, "no socket").unwrap();
    drop(UnixListener::bind(&dead).unwrap());
    let long = PathBuf::from("x".repeat(300));
    let cases = [
        (none.clone(), Some("ENOENT")),
        (plain.clone(), Some("ECONNREFUSED")),
        (dead.clone(), Some("ECONNREFUSED")),
        (long, None),
    ];
    for (to, code) in cases {
        let end = Rc::new(Cell::new(None));
        let e = end.clone();
        lp.connect(ConnectOptions::unix(&to), On::new().close(move |_, c| e.set(Some(c))));
        lp.run().unwrap();
        let close = end.take().unwrap();
        let e = close.reason.error().unwrap();
        assert_eq!((e.stage(), e.code()), (Stage::Connect, code), "{close}");
        let begins = format!("connect to {} failed after ", to.display());
        assert!(close.to_string().starts_with(&begins), "{close}");
    }
    std::fs::remove_file(plain).unwrap();
    std::fs::remove_file(dead).unwrap();
}

/// server-listen-path, listen-path: a file that is there, whatever it is, is in use; it is
/// not taken away. Permissions are set before anybody can connect.
#[test]
fn listen_errors_and_permissions() {
    let mut lp = guarded();
    let plain = path("taken");
    std::fs::write(&plain, "precious").unwrap();
    let e = lp.listen(ListenOptions::unix(&plain), echo).unwrap_err();
    let text = format!("bind on {} failed: address already in use (EADDRINUSE)", plain.display());
    assert_eq!(e.to_string(), text);
    assert_eq!(std::fs::read(&plain).unwrap(), b"precious");
    std::fs::remove_file(&plain).unwrap();

    let e = lp.listen(ListenOptions::unix("/no/such/folder/socket"), echo).unwrap_err();
    assert!(e.to_string().contains("(ENOENT)"), "{e}");

    let path = path("mode");
    let server = lp.listen(ListenOptions::unix(&path).mode(0o600), echo).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    // A loop that is dropped takes the file away, too.
    lp.listen(ListenOptions::unix(&path), echo).unwrap();
    drop(lp);
    assert!(!path.exists());
}

/// An option that means nothing here is an error, never ignored; nor is one that means
/// nothing elsewhere.
#[test]
fn options_that_do_not_apply_are_errors() {
    let mut lp = guarded();
    let path = path("refused");
    let on = || ListenOptions::unix(&path);
    let cases = [
        (on().reuse_port(true), "reuse_port does not apply to a Unix domain socket"),
        (on().ipv6_only(false), "ipv6_only does not apply to a Unix domain socket"),
        (on().no_delay(true), "no_delay does not apply to a Unix domain socket"),
        (on().keep_alive(TcpKeepAlive::default()), "keep_alive does not apply"),
        (on().block_list(BlockList::new()), "block_list does not apply"),
        (ListenOptions::new("127.0.0.1:0").mode(0o600), "mode does not apply to an address"),
        (
            ListenOptions::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).mode(0o600),
            "mode does not apply to a socket that listens already",
        ),
    ];
    for (options, text) in cases {
        let e = lp.listen(options, echo).unwrap_err();
        assert!(e.to_string().contains(text), "{e}");
    }
    assert!(!path.exists());
    let log = Log::default();
    let local = ConnectOptions::unix(&path).local_port(80);
    for options in [local, ConnectOptions::unix(&path).no_delay(true)] {
        let log = log.clone();
        lp.connect(options, On::new().close(move |_, c| log.add(c.to_string())));
    }
    lp.run().unwrap();
    assert!(log.lines()[0].contains("local_port does not apply to a Unix domain socket"));
    assert!(log.lines()[1].contains("no_delay does not apply to a Unix domain socket"));

    // The buffers of the kernel do apply.
    let sized = |size: Rc<Cell<usize>>| {
        move |mut conn: Incoming<'_>| {
            conn.server(conn.server_key()).close().unwrap();
            size.set(conn.accept(On::new()).buffer_sizes().unwrap().1);
        }
    };
    let size = Rc::new(Cell::new(0));
    lp.listen(ListenOptions::unix(&path).send_buffer(300_000), sized(size.clone())).unwrap();
    lp.connect(ConnectOptions::unix(&path), On::new().connect(|s| s.end()));
    lp.run().unwrap();
    assert!(size.get() >= 200_000, "{}", size.get());
}

/// A path that the system would take for another is an error that names it: an empty one (Linux
/// would make up a name), one with a NUL (cut off there), one that is too long.
#[test]
fn paths_that_are_none_say_what_is_wrong() {
    let mut lp = guarded();
    let cut = path("cut");
    let with_nul = PathBuf::from(format!("{}\0tail", cut.display()));
    let most = if cfg!(target_os = "linux") { 107 } else { 103 };
    let long = PathBuf::from("x".repeat(most + 1));
    let too_long = AddressFault::PathTooLong { bytes: most + 1, most };
    for (path, fault, says) in [
        (PathBuf::new(), AddressFault::EmptyPath, "the path is empty"),
        (with_nul, AddressFault::NulInPath, "the path has a NUL byte"),
        (PathBuf::from("x\0"), AddressFault::NulInPath, "the path has a NUL byte"),
        (long, too_long, "bytes, the maximum"),
    ] {
        let expected = AddressError { input: path.to_string_lossy().into_owned(), fault };
        let text = expected.to_string();
        assert!(text.starts_with(&format!("{path:?} is not a valid address: ")), "{text}");
        assert!(text.contains(says), "{text}");
        match lp.listen(ListenOptions::unix(&path), echo) {
            Err(ListenError::Address(e)) => assert_eq!(e, expected),
            other => panic!("{path:?}: {other:?}"),
        }
        let end = Rc::new(Cell::new(None));
        let e = end.clone();
        lp.connect(ConnectOptions::unix(&path), On::new().close(move |_, c| e.set(Some(c))));
        lp.run().unwrap();
        let close = end.take().unwrap();
        let e = close.reason.error().unwrap();
        assert_eq!((e.stage(), e.kind()), (Stage::Connect, ErrorKind::InvalidInput), "{close}");
        let source = std::error::Error::source(e).and_then(|e| e.downcast_ref::<std::io::Error>());
        let inner = source.and_then(|e| e.get_ref()).and_then(|e| e.downcast_ref());
        assert_eq!(inner, Some(&expected), "{close}");
        assert!(close.to_string().contains(&text), "{close}");
    }
    assert!(!cut.exists(), "nothing was made");
    // The longest that there may be is fine.
    let mut longest = std::env::temp_dir().join("x").into_os_string();
    longest.push("x".repeat(most - longest.len()));
    let longest = PathBuf::from(longest);
    let _ = std::fs::remove_file(&longest);
    let server = lp.listen(ListenOptions::unix(&longest), echo).unwrap();
    assert!(longest.exists());
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// An abstract name has no file (Linux).
#[test]
#[cfg(target_os = "linux")]
fn an_abstract_name() {
    // It may have any byte, and be as long as the address.
    let name = format!("\0tidegate-\0-{}", std::process::id());
    let name = PathBuf::from(format!("{name:x<108}"));
    let mut lp = guarded();
    let server = lp
        .listen(ListenOptions::unix(&name), |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let _ = conn.accept(On::new()).end_with("hello");
        })
        .unwrap();
    assert!(lp.server(server).endpoint().unwrap().to_string().starts_with("@tidegate-"));
    let got = Log::default();
    let g = got.clone();
    let on = On::new().data(move |_, chunk| g.add(String::from_utf8_lossy(chunk)));
    lp.connect(ConnectOptions::unix(&name), on);
    lp.run().unwrap();
    assert_eq!(got.lines(), ["hello"]);
}

/// The options that apply: half-open, limits, deadlines, max_connections; and pipes.
#[test]
fn what_holds_for_connections_holds_here() {
    let path = path("options");
    let mut lp = guarded();
    let log = Log::default();
    struct Told(Log);
    impl ServerHandler for Told {
        fn on_connection(&mut self, mut conn: Incoming<'_>) {
            let log = self.0.clone();
            let key = conn.key();
            assert!(conn.local_addr().is_err());
            let mut s = conn.accept(On::new().close(move |_, c| log.add(c.to_string())));
            let log = self.0.clone();
            s.pipe(key, key, move |_, r| log.add(format!("piped: {}", r.is_ok()))).unwrap();
        }
        fn on_overload(&mut self, _: &mut ServerCx<'_>, overload: Overload) {
            self.0.add(overload.to_string());
        }
    }
    let options = ListenOptions::unix(&path)
        .max_connections(1, AtLimit::Drop)
        .idle_timeout(std::time::Duration::from_millis(30));
    let server = lp.serve(options, Told(log.clone())).unwrap();
    let mut first = UnixStream::connect(&path).unwrap();
    first.set_read_timeout(Some(DEADLINE)).unwrap();
    let _second = UnixStream::connect(&path).unwrap();
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 2);
    first.write_all(b"tide").unwrap();
    // Then it is silent: the idle timeout closes it, and its pipe ends with that.
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().connections == 0);
    let mut echoed = [0; 4];
    first.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"tide");
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[0], "a connection was closed: max_connections are open (1 dropped so far)");
    assert!(lines[1].contains("timed out after") && lines[1].contains("(idle timeout)"));
    assert_eq!(lines[2], "piped: false");
}

/// A read stops behind a passed descriptor though more bytes wait: a short read proves nothing.
#[test]
fn bytes_behind_a_passed_descriptor_are_read() {
    use std::os::fd::AsRawFd;

    for both_at_once in [true, false] {
        let path = path("passed");
        let mut lp = guarded();
        let got = Rc::new(RefCell::new(Vec::<u8>::new()));
        let g = got.clone();
        let server = lp
            .listen(ListenOptions::unix(&path), move |mut conn| {
                conn.server(conn.server_key()).close().unwrap();
                let g = g.clone();
                conn.accept(On::new().data(move |_, chunk| g.borrow_mut().extend(chunk)));
            })
            .unwrap();
        let peer = UnixStream::connect(&path).unwrap();
        if !both_at_once {
            // It is in the poller's hands, and has read once.
            (&peer).write_all(b"0").unwrap();
            turn_until(&mut lp, |_| got.borrow().len() == 1);
        }
        let mut byte = *b"A";
        let mut piece = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut control = [0u64; 8];
        // SAFETY: all zeroes is a valid msghdr.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &mut piece;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        // SAFETY: the control buffer has room for one descriptor and outlives the calls; the
        // header that CMSG_FIRSTHDR returns lies in it.
        let sent = unsafe {
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(peer.as_raw_fd());
            libc::sendmsg(peer.as_raw_fd(), &message, 0)
        };
        assert_eq!(sent, 1, "{}", std::io::Error::last_os_error());
        (&peer).write_all(b"B").unwrap();
        let all = if both_at_once { 2 } else { 3 };
        turn_until(&mut lp, |_| got.borrow().len() == all);
        drop(peer);
        lp.run().unwrap();
        let _ = server;
    }
}

/// There is no RST here: `on_close` says what the peer saw.
#[test]
fn a_reset_says_that_the_peer_sees_an_ordinary_end() {
    for (unread, reset, seen) in
        [(false, Reset::Unsupported, None), (true, Reset::Sent, Some(ErrorKind::ConnectionReset))]
    {
        let path = path("reset");
        let mut lp = guarded();
        let said = Rc::new(RefCell::new(Vec::new()));
        let s = said.clone();
        lp.listen(ListenOptions::unix(&path).pause_on_connect(true), move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let s = s.clone();
            let on = On::new().close(move |_, close| {
                s.borrow_mut().push((close.reset, close.to_string()));
            });
            conn.accept(on).reset();
        })
        .unwrap();
        let mut peer = UnixStream::connect(&path).unwrap();
        if unread {
            peer.write_all(b"nobody reads this").unwrap();
        }
        lp.run().unwrap();
        assert_eq!(
            said.borrow()[0].0,
            if cfg!(target_os = "linux") { reset } else { Reset::Unsupported }
        );
        let says_so = said.borrow()[0].1.contains("the peer sees an ordinary end");
        assert_eq!(says_so, said.borrow()[0].0 == Reset::Unsupported, "{:?}", said.borrow());
        if cfg!(target_os = "linux") {
            assert_eq!(peer.read(&mut [0; 1]).err().map(|e| e.kind()), seen);
        }
    }
}
