//! Connections to a name, one after another: the system's lookup on another thread, the
//! handshake, a reset.
#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tidegate::net::Family;
use tidegate::prelude::*;
use tokio::runtime::Builder;

use super::{nanos, on};
use crate::sys::cores::Core;
use crate::sys::epoll::{self, Epoll, EventFd, Events};

/// How often, and the port; the ns of all.
pub type Side = fn(u64, u16) -> u64;

/// The contenders.
pub fn sides() -> &'static [(&'static str, Side)] {
    &[
        ("tidegate", own),
        ("floor", floor),
        ("tokio", tokio),
        #[cfg(libuv)]
        ("libuv", |n, port| on(Core::Any, || crate::sys::libuv::named(n, port))),
    ]
}

struct Next {
    left: u64,
    port: u16,
}

impl Next {
    fn start(self, net: &mut impl Net) {
        let options = ConnectOptions::new(format!("localhost:{}", self.port).as_str());
        net.connect(options.family(Family::V4), self);
    }
}

impl Handler for Next {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        s.reset();
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        assert!(!close.reason.is_error() || matches!(close.reason, Reason::Destroyed), "{close:?}");
        if self.left > 1 {
            Next { left: self.left - 1, port: self.port }.start(s);
        }
    }
}

fn own(n: u64, port: u16) -> u64 {
    on(Core::Any, || {
        let mut lp = Loop::new().expect("a loop");
        Next { left: n, port }.start(&mut lp);
        let start = Instant::now();
        lp.run().expect("the poller works");
        nanos(start)
    })
}

fn first_v4(name: &(&str, u16)) -> io::Result<SocketAddr> {
    name.to_socket_addrs()?.find(SocketAddr::is_ipv4).ok_or(io::ErrorKind::NotFound.into())
}

/// A thread that looks up, an eventfd for what it found, a connect by hand.
fn floor(n: u64, port: u16) -> u64 {
    on(Core::Any, || {
        let wake = Arc::new(EventFd::new().expect("an eventfd"));
        let epoll = Epoll::new().expect("an epoll instance");
        epoll.add(&*wake, epoll::IN, 0).expect("it can be watched");
        let mut events = Events::with_capacity(64);
        let (ask, asked) = mpsc::channel::<u16>();
        let (tell, told) = mpsc::channel();
        let done = wake.clone();
        let thread = std::thread::spawn(move || {
            for port in asked {
                let _ = tell.send(first_v4(&("localhost", port)));
                done.wake();
            }
        });
        let start = Instant::now();
        for _ in 0..n {
            ask.send(port).expect("the thread runs");
            while epoll.wait(&mut events, -1) == 0 {}
            wake.clear();
            let at = told.recv().expect("the thread runs").expect("localhost has an address");
            let fd = epoll::connect(at).expect("a connection");
            epoll.add(&fd, epoll::OUT, 1).expect("it can be watched");
            while epoll.wait(&mut events, -1) == 0 {}
            assert!(SockRef::from(&fd).take_error().expect("a socket").is_none());
        }
        let took = nanos(start);
        drop(ask);
        thread.join().expect("it does not panic");
        took
    })
}

fn tokio(n: u64, port: u16) -> u64 {
    on(Core::Any, || {
        let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
        let start = Instant::now();
        rt.block_on(async {
            for _ in 0..n {
                let mut found =
                    tokio::net::lookup_host(("localhost", port)).await.expect("localhost");
                let at = found.find(SocketAddr::is_ipv4).expect("an address of IPv4");
                let s = tokio::net::TcpStream::connect(at).await.expect("a connection");
                SockRef::from(&s).set_linger(Some(Duration::ZERO)).expect("an option of TCP");
            }
        });
        nanos(start)
    })
}
