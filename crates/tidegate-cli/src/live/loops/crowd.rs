//! The clients of the presets, on a loop of their own: they go on while the studied loop blocks.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidegate::prelude::*;
use tidegate::{Remote, TimerKey};

use super::preset::Preset;
use super::servers::{ECHO, ONE, Opened, SINK, SOURCE};
use super::shared::{Peer, Shared};

/// Clients whose receive queues are asked.
const ASKED: usize = 32;
const LOOK_EVERY: Duration = Duration::from_millis(50);
const MESSAGE: &[u8; 64] = &[b'm'; 64];
const BLOCK: Duration = Duration::from_millis(500);

/// The slow reader takes so much every second, in four reads.
const SLOW: usize = 64 * 1024;
const RECEIVE_BUFFER: usize = 64 * 1024;
const GREEDY: usize = 8 << 20;
static PIECE: [u8; 64 * 1024] = [b'g'; 64 * 1024];

/// The thread with the clients. Dropped, it ends.
pub(crate) struct Crowd {
    remote: Remote,
    stage: tidegate::Shared<Stage>,
    thread: Option<JoinHandle<()>>,
}

/// What the clients need, and those that are there.
struct Stage {
    servers: Vec<Opened>,
    studied: Remote,
    shared: Arc<Shared>,
    cast: Cast,
}

/// What a preset has started. A clone is the same.
#[derive(Clone, Default)]
struct Cast(Rc<RefCell<(Vec<TimerKey>, Vec<SocketKey>)>>);

impl Cast {
    fn timer(&self, key: TimerKey) {
        self.0.borrow_mut().0.push(key);
    }

    fn client(&self, cx: &Cx<'_>, key: SocketKey) {
        let clients = &mut self.0.borrow_mut().1;
        if clients.len() >= 1024 {
            clients.retain(|key| cx.is_open(*key));
        }
        clients.push(key);
    }

    fn leave(&self, cx: &mut Cx<'_>) {
        let (timers, clients) = std::mem::take(&mut *self.0.borrow_mut());
        for timer in timers {
            let _ = cx.timer_stop(timer);
        }
        for client in clients {
            cx.socket(client).destroy();
        }
    }
}

impl Crowd {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        servers: &[Opened],
        studied: &Remote,
    ) -> io::Result<Crowd> {
        let (send, begun) = sync_channel(1);
        let (shared, servers, studied) = (shared.clone(), servers.to_vec(), studied.clone());
        let thread = thread::Builder::new()
            .name("clients".into())
            .spawn(move || run(servers, studied, shared, &send))?;
        let gone = |_| io::Error::other("the clients' loop ended at once");
        let (remote, stage) = begun.recv().map_err(gone)??;
        Ok(Crowd { remote, stage, thread: Some(thread) })
    }

    /// Ends the preset that runs, and begins this one.
    pub(crate) fn play(&self, preset: Preset) {
        let stage = self.stage;
        let _ = self.remote.post(move |cx| {
            let _ = cx.with(stage, |stage, cx| stage.play(cx, preset));
        });
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.remote.post(|cx| cx.stop());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Begun = io::Result<(Remote, tidegate::Shared<Stage>)>;

fn run(servers: Vec<Opened>, studied: Remote, shared: Arc<Shared>, begun: &SyncSender<Begun>) {
    let open = || -> io::Result<_> {
        let mut lp = Loop::new()?;
        let cast = Cast::default();
        let (clients, told) = (cast.clone(), shared.clone());
        lp.interval(LOOK_EVERY, move |cx, _| {
            if told.is_watched() {
                let peers = look(cx, &clients);
                *told.peers() = peers;
            }
        });
        let stage = lp.share(Stage { servers, studied, shared, cast }).map_err(io::Error::other)?;
        Ok((lp, stage))
    };
    let (mut lp, stage) = match open() {
        Ok(opened) => opened,
        Err(e) => {
            let _ = begun.send(Err(e));
            return;
        }
    };
    let remote = lp.remote();
    if begun.send(Ok((remote, stage))).is_ok() {
        if let Err(e) = lp.run() {
            log::error!("the clients' loop: {e}");
        }
    }
}

/// What waits in the clients' kernel: the other half of where the bytes are.
fn look(cx: &mut Cx<'_>, cast: &Cast) -> Vec<Peer> {
    let mut clients = cast.0.borrow().1.clone();
    clients.retain(|key| cx.is_open(*key));
    let ask = |key: &SocketKey| {
        let mut s = cx.socket(*key);
        let (local, queues) = (s.local_addr().ok()?, s.queues().ok()?);
        Some(Peer { local, receive: queues.receive, read: s.bytes_read() })
    };
    clients.iter().rev().take(ASKED).filter_map(ask).collect()
}

impl Stage {
    fn play(&mut self, cx: &mut Cx<'_>, preset: Preset) {
        self.cast.leave(cx);
        // The servers may be held by the preset that ends.
        for opened in &self.servers {
            hold(&self.studied, opened.key, false);
        }
        match preset {
            Preset::Quiet => self.echoes(cx, 5),
            Preset::SlowReader => {
                self.slow_reader(cx);
                self.echoes(cx, 4);
            }
            Preset::Blocked => {
                self.echoes(cx, 5);
                self.every(cx, Duration::from_millis(50), |stage, cx| stage.visitor(cx));
                self.every(cx, Duration::from_secs(3), |stage, _| stage.shared.block_next(BLOCK));
            }
            Preset::Burst => {
                self.echoes(cx, 2);
                self.every(cx, Duration::from_secs(4), |stage, cx| {
                    stage.rush(cx, ECHO, 200, |_| {});
                });
            }
            Preset::Greedy => {
                self.greedy(cx);
                self.echoes(cx, 4);
            }
            Preset::BudgetOne => {
                self.echoes(cx, 2);
                self.every(cx, Duration::from_secs(4), |stage, cx| {
                    stage.rush(cx, ONE, 200, |_| {});
                });
            }
            Preset::Resets => {
                self.echoes(cx, 2);
                self.every(cx, Duration::from_secs(3), |stage, cx| {
                    let nth = Cell::new(0);
                    stage.rush(cx, ECHO, 100, move |s| {
                        nth.set(nth.get() + 1);
                        if nth.get() % 2 == 0 {
                            return s.reset();
                        }
                        let key = s.key();
                        s.after(Duration::from_millis(50), move |cx| cx.socket(key).reset());
                    });
                });
            }
        }
    }

    /// The same stage, for a callback.
    fn again(&self) -> Stage {
        Stage {
            servers: self.servers.clone(),
            studied: self.studied.clone(),
            shared: self.shared.clone(),
            cast: self.cast.clone(),
        }
    }

    /// Soon for the first time, and then at this interval.
    fn every(&self, cx: &mut Cx<'_>, time: Duration, f: impl Fn(&Stage, &mut Cx<'_>) + 'static) {
        let stage = self.again();
        let first = time.min(Duration::from_millis(500));
        let timer = cx.interval(time, move |cx, _| f(&stage, cx));
        let _ = cx.timer_reset(timer, first);
        self.cast.timer(timer);
    }

    fn connect(&self, cx: &mut Cx<'_>, options: ConnectOptions, on: impl Handler) -> SocketKey {
        let key = cx.connect(options, on);
        self.cast.client(cx, key);
        key
    }

    /// Clients that send a message every 100 ms. They begin one after the other.
    fn echoes(&self, cx: &mut Cx<'_>, clients: u32) {
        for n in 0..clients {
            let to = ConnectOptions::new(self.servers[ECHO].at);
            let key = self.connect(cx, to, On::new().data(|_, _| {}).close(|_, _| {}));
            let timer = cx.interval(Duration::from_millis(100), move |cx, _| {
                let mut s = cx.socket(key);
                // A blocked server answers late; nothing more is sent then.
                if s.buffered() == 0 {
                    let _ = s.write(MESSAGE);
                }
            });
            let _ = cx.timer_reset(timer, Duration::from_millis(u64::from(n) * 20));
            self.cast.timer(timer);
        }
    }

    /// One message, one answer, and it goes.
    fn visitor(&self, cx: &mut Cx<'_>) {
        let on = On::new().connect(|s| {
            let _ = s.write(MESSAGE);
        });
        let on = on.data(|s, _| s.end()).close(|_, _| {});
        let key = self.connect(cx, ConnectOptions::new(self.servers[ECHO].at), on);
        cx.socket(key).set_lifetime(Duration::from_secs(5));
    }

    /// `clients` at once, while the server does not accept; then it does.
    fn rush(
        &self,
        cx: &mut Cx<'_>,
        server: usize,
        clients: u32,
        joined: impl Fn(&mut SocketCx<'_>) + 'static,
    ) {
        let (key, studied) = (self.servers[server].key, self.studied.clone());
        hold(&studied, key, true);
        let (joined, left) = (Rc::new(joined), Rc::new(Cell::new(clients)));
        for _ in 0..clients {
            let (joined, left, studied) = (joined.clone(), left.clone(), studied.clone());
            let on = On::new().connect(move |s| {
                let _ = s.write(MESSAGE);
                joined(s);
                left.set(left.get() - 1);
                if left.get() == 0 {
                    // The page looks 20 times a second: so long it can see the queue.
                    let studied = studied.clone();
                    s.after(Duration::from_millis(150), move |_| hold(&studied, key, false));
                }
            });
            let on = on.data(|s, _| s.end()).close(|_, _| {});
            let to = ConnectOptions::new(self.servers[server].at);
            let client = self.connect(cx, to, on);
            cx.socket(client).set_lifetime(Duration::from_secs(3));
        }
        // If not all could connect.
        let timer = cx.after(Duration::from_secs(1), move |_| hold(&studied, key, false));
        self.cast.timer(timer);
    }

    fn slow_reader(&self, cx: &mut Cx<'_>) {
        let to = ConnectOptions::new(self.servers[SOURCE].at).recv_buffer(RECEIVE_BUFFER);
        let on = On::new().connect(|s| s.pause()).data(|s, _| s.pause()).close(|_, _| {});
        let key = self.connect(cx, to, on);
        let (ours, mut quota) = (key, 0u64);
        let timer = cx.interval(Duration::from_millis(250), move |cx, _| {
            // A read takes up to 64 KiB: after a large one it waits longer.
            quota += (SLOW / 4) as u64;
            let mut s = cx.socket(ours);
            if s.bytes_read() < quota {
                s.resume();
            }
        });
        self.cast.timer(timer);
    }

    fn greedy(&self, cx: &mut Cx<'_>) {
        let left = Rc::new(Cell::new(0));
        let drained = left.clone();
        let on = On::new().drain(move |s| pour(s, &drained)).close(|_, _| {});
        let key = self.connect(cx, ConnectOptions::new(self.servers[SINK].at), on);
        self.every(cx, Duration::from_secs(1), move |_, cx| {
            left.set(GREEDY);
            pour(&mut cx.socket(key), &left);
        });
    }
}

fn pour(s: &mut SocketCx<'_>, left: &Cell<usize>) {
    while left.get() > 0 {
        let piece = &PIECE[..left.get().min(PIECE.len())];
        let flow = s.write(piece);
        if flow == Flow::Closed {
            return left.set(0);
        }
        left.set(left.get() - piece.len());
        if flow == Flow::Full {
            return;
        }
    }
}

/// Whether a server of the studied loop accepts.
fn hold(studied: &Remote, server: ServerKey, on: bool) {
    let _ = studied.post(move |cx| {
        let mut server = cx.server(server);
        let _ = if on { server.pause() } else { server.resume() };
    });
}
