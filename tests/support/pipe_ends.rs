//! Ends of pipes: a source that is silent, a sink that keeps, a connection that was accepted.
#![allow(dead_code, unreachable_pub)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

/// Gives nothing until the test pushes.
pub struct Quiet;

impl Source for Quiet {
    fn read(&mut self, _: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

pub type Kept = Rc<RefCell<Vec<u8>>>;

/// Keeps what it gets; done with it when the test says so, or at once.
pub struct Keep {
    pub all: Kept,
    pub later: bool,
}

impl Sink for Keep {
    fn write(&mut self, _: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError> {
        self.all.borrow_mut().extend(chunks.concat());
        Ok(if self.later { Progress::Later } else { Progress::Done })
    }
}

/// Turns until the loop would wait.
pub fn settle(lp: &mut Loop) {
    while lp.run_nowait().unwrap() && lp.backend_timeout() == Some(Duration::ZERO) {}
}

pub fn keep(lp: &mut Loop, later: bool, mark: usize) -> (WritableKey, Kept) {
    let all = Kept::default();
    let o = WritableOptions::new().high_water_mark(mark);
    (lp.open_writable(o, Keep { all: all.clone(), later }, ()).unwrap(), all)
}

pub fn quiet(lp: &mut Loop) -> ReadableKey {
    lp.open_readable(ReadableOptions::new(), Quiet, ()).unwrap()
}

/// Logs how a pipe ended.
pub fn done(log: &Log) -> impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static {
    let log = log.clone();
    move |_, r| {
        log.add(match r {
            Ok(()) => "done".into(),
            Err(e) => e.to_string(),
        })
    }
}

/// A paused connection with this handler, and its peer.
pub fn accepted(
    lp: &mut Loop,
    half_open: bool,
    h: impl Handler,
) -> (std::net::TcpStream, SocketKey) {
    let key = Rc::new(Cell::new(None));
    let (k, mut h) = (key.clone(), Some(h));
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(half_open);
    let server = lp
        .listen(options, move |conn| {
            let Some(h) = h.take() else { return };
            let mut s = conn.accept(Boxed(Box::new(h)));
            s.pause();
            k.set(Some(s.key()));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(lp, |_| key.get().is_some());
    lp.server(server).close().unwrap();
    (c, key.get().unwrap())
}

pub struct Boxed(pub Box<dyn Handler>);

impl Handler for Boxed {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_connect(s)
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, c: &[u8]) {
        self.0.on_data(s, c)
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_drain(s)
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_end(s)
    }
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_finish(s)
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, c: tidegate::net::Close) {
        self.0.on_close(s, c)
    }
}
