//! libuv's own tests of poll handles: descriptors that a user watches. The numbers are those of the
//! table in `tests/README.md`.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use tidegate::KeyError;
use tidegate::event::{Fd, Interest, Readiness};
use tidegate::prelude::*;

use crate::support::*;
use crate::watched::{drain, file};

/// Closing many sockets while events for them are pending: nothing is called for any
/// of them but its one close.
#[test]
fn libuv_61_watcher_cross_stop() {
    let mut lp = guarded();
    let (keys, closes) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let (k, c) = (keys.clone(), closes.clone());
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let (all, closes, gone) = (k.clone(), c.clone(), Rc::new(Cell::new(false)));
            let g = gone.clone();
            let s = conn.accept(
                On::new()
                    .data(move |s, _| {
                        assert!(!g.get());
                        // The first one closes all, itself among them.
                        for key in all.borrow().iter() {
                            s.socket(*key).destroy();
                        }
                    })
                    .close(move |_, _| {
                        assert!(!gone.replace(true), "exactly once");
                        closes.set(closes.get() + 1);
                    }),
            );
            k.borrow_mut().push(s.key());
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients: Vec<_> = (0..50).map(|_| client(at)).collect();
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 50);
    lp.run_nowait().unwrap();
    for c in &clients {
        write_all(c, b"x");
    }
    turn_until(&mut lp, |_| closes.get() == 50);
    assert_eq!(lp.server(server).stats().unwrap().connections, 0);
}

/// Urgent data can be watched for; an interest in nothing is refused.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn libuv_62_poll_oob() {
    let mut lp = guarded();
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let c = client(l.local_addr().unwrap());
    let source = Fd::new(l.accept().unwrap().0).unwrap();
    let urgent = Log::default();
    let u = urgent.clone();
    lp.watch(source, Interest::PRIORITY, move |cx, key, source, ready| {
        let mut byte = [std::mem::MaybeUninit::uninit(); 4];
        let socket = socket2::SockRef::from(&**source);
        let n = ready.try_io(Interest::PRIORITY, || socket.recv_out_of_band(&mut byte));
        u.add(n.unwrap().to_string());
        cx.close(key).unwrap();
    })
    .unwrap();
    write_all(&c, b"ordinary");
    socket2::SockRef::from(&c).send_out_of_band(b"!").unwrap();
    lp.run().unwrap();
    assert_eq!(urgent.lines(), ["1"]);
}

/// Both directions of a source; what the callback does not take is offered again.
#[test]
fn libuv_62_poll_duplex() {
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let got = Rc::new(RefCell::new(Vec::new()));
    let (g, calls) = (got.clone(), Rc::new(Cell::new(0)));
    let n = calls.clone();
    let both = Interest::READABLE | Interest::WRITABLE;
    let mut wrote = false;
    lp.watch(file(ours), both, move |cx, key, source, ready| {
        n.set(n.get() + 1);
        if !wrote {
            assert!(ready.bits().has(Readiness::WRITABLE));
            ready.try_io(Interest::WRITABLE, || source.write(b"ping")).unwrap();
            wrote = true;
            // There is always room: nothing more is wanted of it.
            cx.watch_for(key, Interest::READABLE).unwrap();
            return;
        }
        // One byte at a time: the loop calls again for the rest.
        let mut byte = [0];
        match ready.try_io(Interest::READABLE, || source.read(&mut byte)) {
            Ok(0) => cx.close(key).unwrap(),
            Ok(_) => g.borrow_mut().push(byte[0]),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    })
    .unwrap();
    lp.run_once().unwrap();
    let mut ping = [0; 4];
    (&theirs).read_exact(&mut ping).unwrap();
    assert_eq!(&ping, b"ping");
    (&theirs).write_all(b"pong").unwrap();
    drop(theirs);
    lp.run().unwrap();
    assert_eq!(*got.borrow(), b"pong");
    assert!(calls.get() >= 6, "one for the write, four bytes, the end: {}", calls.get());
    assert_eq!(handles(&lp), 0);
}

/// A paused watcher is not called, and nothing is lost; going on costs no system call.
#[test]
fn a_paused_watcher_is_not_called() {
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let got = Rc::new(RefCell::new(Vec::new()));
    let g = got.clone();
    let key = lp
        .watch(file(ours), Interest::READABLE, move |_, _, source, ready| {
            g.borrow_mut().extend(drain(source, ready).0);
        })
        .unwrap();
    lp.watch_for(key, None).unwrap();
    (&theirs).write_all(b"later").unwrap();
    for _ in 0..3 {
        lp.run_nowait().unwrap();
    }
    assert!(got.borrow().is_empty());
    lp.watch_for(key, Interest::READABLE).unwrap();
    turn_until(&mut lp, |_| *got.borrow() == b"later");
}

/// A second watcher on a descriptor is an error, and the first goes on.
#[test]
fn libuv_62_poll_multiple_handles() {
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let got = Log::default();
    let g = got.clone();
    // Two owners of one descriptor number.
    let ours = Rc::new(ours);
    struct Shared(Rc<UnixStream>);
    impl std::os::fd::AsFd for Shared {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    let dropped = Rc::new(());
    let held = dropped.clone();
    lp.watch(Fd::new(Shared(ours.clone())).unwrap(), Interest::READABLE, move |_, _, s, r| {
        g.add(String::from_utf8(drain(&mut &*s.0, r).0).unwrap());
    })
    .unwrap();
    let again =
        lp.watch(Fd::new(Shared(ours.clone())).unwrap(), Interest::READABLE, move |_, _, _, _| {
            panic!("{held:?}")
        });
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    (&theirs).write_all(b"first").unwrap();
    turn_until(&mut lp, |_| got.has("first"));
    assert_eq!(Rc::strong_count(&dropped), 1, "the refused closure is given back");
}

/// A source that cannot be polled, and one whose descriptor was closed meanwhile.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn libuv_62_a_file_cannot_be_watched() {
    let mut lp = guarded();
    let disk = Fd::new(File::open("/proc/self/exe").unwrap()).unwrap();
    let refused = lp.watch(disk, Interest::READABLE, |_, _, _, _| {});
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(handles(&lp), 0);
}

/// A watcher that closes itself and is woken at the same time.
#[test]
fn libuv_62_poll_close() {
    let mut lp = guarded();
    let pairs: Vec<_> = (0..5).map(|_| UnixStream::pair().unwrap()).collect();
    let calls = Rc::new(Cell::new(0));
    let keys: Rc<RefCell<Vec<tidegate::WatchKey>>> = Rc::default();
    let mut peers = Vec::new();
    for (ours, theirs) in pairs {
        let (c, k) = (calls.clone(), keys.clone());
        let watch = lp.watch(file(ours), Interest::READABLE, move |cx, me, _, _| {
            c.set(c.get() + 1);
            // The first closes all.
            for key in k.borrow().iter() {
                cx.close(*key).unwrap();
            }
            assert_eq!(cx.close(me), Err(KeyError::Closed));
        });
        keys.borrow_mut().push(watch.unwrap());
        peers.push(theirs);
    }
    for mut p in &peers {
        p.write_all(b"x").unwrap();
    }
    lp.run().unwrap();
    assert_eq!((calls.get(), handles(&lp)), (1, 0));
    // The descriptors are closed: the peers see the end.
    for mut p in &peers {
        assert!(matches!(p.read(&mut [0; 1]), Ok(0)) || p.take_error().is_ok());
    }
}

/// An eventfd and a timerfd: descriptors that no layer knows.
#[cfg(target_os = "linux")]
#[test]
fn eventfd_and_timerfd_can_be_watched() {
    use std::os::fd::FromRawFd;
    #[allow(unsafe_code)]
    fn descriptors() -> (File, File) {
        // SAFETY: no pointers; the results are new descriptors that nobody else has.
        let (event, timer) = unsafe {
            let event = libc::eventfd(0, libc::EFD_CLOEXEC);
            let timer = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC);
            assert!(event >= 0 && timer >= 0);
            (File::from_raw_fd(event), File::from_raw_fd(timer))
        };
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 },
        };
        let fd = std::os::fd::AsRawFd::as_raw_fd(&timer);
        // SAFETY: a valid descriptor and a valid local; no old value is asked for.
        assert_eq!(unsafe { libc::timerfd_settime(fd, 0, &spec, std::ptr::null_mut()) }, 0);
        (event, timer)
    }
    let mut lp = guarded();
    let (event, timer) = descriptors();
    let mut signal = event.try_clone().unwrap();
    let log = Log::default();
    for (name, source) in [("eventfd", event), ("timerfd", timer)] {
        let log = log.clone();
        let source = Fd::new(source).unwrap();
        lp.watch(source, Interest::READABLE, move |cx, key, source, ready| {
            let mut count = [0; 8];
            if ready.try_io(Interest::READABLE, || source.read(&mut count)).is_ok() {
                log.add(format!("{name} {} in {}", u64::from_ne_bytes(count), cx.phase()));
                cx.close(key).unwrap();
            }
        })
        .unwrap();
    }
    signal.write_all(&3u64.to_ne_bytes()).unwrap();
    lp.run().unwrap();
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["eventfd 3 in ready", "timerfd 1 in ready"]);
}
