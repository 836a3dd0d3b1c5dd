//! A dispatch that leaves nothing under way takes a short path to its end. For each thing that
//! `on_data` may do, the outcome is the same on the long path, which a tick forces.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{Filter, FilterError, Passed};
use tidegate::prelude::*;

use crate::support::*;

struct Mask;

impl Filter for Mask {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.up.extend(wire.iter().map(|b| b ^ 1));
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend(user.iter().map(|b| b ^ 1));
        Ok(user.len())
    }
}

type Action = fn(&mut SocketCx<'_>, ServerKey, &Log);

struct Acts {
    action: Action,
    server: ServerKey,
    log: Log,
    long: bool,
    chunks: Rc<Cell<u32>>,
}

impl Handler for Acts {
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.chunks.set(self.chunks.get() + 1);
        self.log.add(format!("data {}", String::from_utf8_lossy(chunk)));
        if self.chunks.get() == 2 {
            (self.action)(s, self.server, &self.log);
        }
        if self.long {
            s.next_tick(|_| {});
        }
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.log.add(format!("drain in {}", s.cx().phase()));
    }
    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, result: Result<(), &Reason>) {
        self.log.add(format!("written {id} {} in {}", result.is_ok(), s.cx().phase()));
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.log.add(format!("end in {}", s.cx().phase()));
    }
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.log.add(format!("finish in {}", s.cx().phase()));
    }
    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        self.log.add(format!("timeout in {}", s.cx().phase()));
        s.time_out();
    }
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        self.log.add(format!("shutdown in {}", s.cx().phase()));
        s.end();
    }
    fn on_close(&mut self, _: &mut SocketCx<'_>, close: Close) {
        self.log.add(over(&close));
    }
}

/// Without ports and times.
fn over(close: &Close) -> String {
    let reason = match &close.reason {
        Reason::TimedOut(which, _) => which.to_string(),
        Reason::Failed(e) => format!("{:?}", e.code()),
        reason => reason.to_string(),
    };
    format!("{reason}: {} unsent", close.unsent)
}

fn outcome(long: bool, action: Action) -> (Vec<String>, Vec<u8>) {
    let mut lp = guarded();
    let (log, chunks) = (Log::default(), Rc::new(Cell::new(0)));
    let (l, c) = (log.clone(), chunks.clone());
    // What the action leaves waiting ends by this.
    let options = ListenOptions::new("127.0.0.1:0").lifetime(Duration::from_millis(300));
    let server = lp
        .listen(options, move |conn| {
            let (log, chunks, server) = (l.clone(), c.clone(), conn.server_key());
            conn.accept(Acts { action, server, log, long, chunks });
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let c = client(at);
    for n in 1..=2 {
        write_all(&c, &[b'0' + n as u8]);
        turn_until(&mut lp, |_| chunks.get() == n);
    }
    // The peer may have reset it.
    let _ = std::io::Write::write_all(&mut &c, b"3");
    let _ = c.shutdown(std::net::Shutdown::Write);
    turn_until(&mut lp, |_| log.lines().iter().any(|line| line.ends_with(" unsent")));
    let mut read = Vec::new();
    let _ = std::io::Read::read_to_end(&mut &c, &mut read);
    (log.lines(), read)
}

const ACTIONS: &[(&str, Action)] = &[
    ("nothing", |_, _, _| {}),
    ("write", |s, _, _| assert_eq!(s.write(b"x"), Flow::Ready)),
    ("write much", |s, _, _| assert_eq!(s.write(vec![0; 16 << 20]), Flow::Full)),
    ("write with an id", |s, _, _| assert_eq!(s.write_id("x", 7), Flow::Ready)),
    ("cork", |s, _, _| {
        s.cork();
        assert_eq!(s.write(b"x"), Flow::Ready);
    }),
    ("cork and uncork", |s, _, _| {
        s.cork();
        assert_eq!(s.write_id("x", 8), Flow::Ready);
        s.uncork();
    }),
    ("end", |s, _, _| s.end()),
    ("end with", |s, _, _| assert_eq!(s.end_with("bye"), Flow::Ready)),
    ("destroy", |s, _, _| s.destroy()),
    ("reset", |s, _, _| s.reset()),
    ("pause", |s, _, _| s.pause()),
    ("pause and resume", |s, _, _| {
        s.pause();
        s.resume();
    }),
    ("pause until a tick", |s, _, _| {
        s.pause();
        let key = s.key();
        s.next_tick(move |cx| cx.socket(key).resume());
    }),
    ("replace", |s, _, log| {
        let (data, close) = (log.clone(), log.clone());
        s.set_handler(
            On::new()
                .data(move |_, c| data.add(format!("new {}", c.len())))
                .close(move |_, c| close.add(over(&c))),
        );
    }),
    ("filter", |s, _, _| {
        s.set_filter(Mask);
        assert_eq!(s.write(b"x"), Flow::Ready);
    }),
    ("pipe to itself", |s, _, log| {
        let (key, log) = (s.key(), log.clone());
        s.pipe(key, key, move |_, r| log.add(format!("pipe {r:?}"))).unwrap();
    }),
    ("idle timeout", |s, _, _| s.set_idle_timeout(Duration::from_millis(5))),
    ("lifetime", |s, _, _| s.set_lifetime(Duration::from_millis(5))),
    ("linger", |s, _, _| {
        s.set_linger_timeout(Duration::from_millis(5));
        s.pause();
    }),
    ("linger after an end", |s, _, _| {
        s.set_linger_timeout(Duration::from_millis(5));
        s.end();
    }),
    ("shut down", |s, server, _| s.server(server).shutdown(Duration::from_secs(60)).unwrap()),
    ("close the server", |s, server, _| s.server(server).close().unwrap()),
    ("unref", |s, _, _| {
        let key = s.key();
        s.cx().set_ref(key, false).unwrap();
    }),
];

#[test]
fn the_short_way_comes_to_the_same_as_the_long_one() {
    for (name, action) in ACTIONS {
        let (short, long) = (outcome(false, *action), outcome(true, *action));
        if *name == "write much" {
            // How much the kernel took is not ours to say.
            assert_eq!(short.0[..2], long.0[..2], "{name}");
            continue;
        }
        assert_eq!(short, long, "{name}");
    }
}
