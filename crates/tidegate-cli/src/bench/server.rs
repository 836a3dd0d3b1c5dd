//! The server that is measured if no other is named: an echo or HTTP on a loop in a thread.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tidegate::Remote;
use tidegate::http::Http;
use tidegate::prelude::*;

/// A server in a thread, until it is dropped.
pub(super) struct Server {
    pub(super) at: SocketAddr,
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

/// How many connections may wait in the kernel.
const BACKLOG: u32 = 4096;

impl Server {
    pub(super) fn start(http: bool) -> io::Result<Server> {
        let (give, take) = mpsc::channel();
        let serve = move || {
            let made = make(http);
            let mut lp = match made {
                Ok((lp, at, remote)) => {
                    let _ = give.send(Ok((at, remote)));
                    lp
                }
                Err(e) => return drop(give.send(Err(e))),
            };
            if let Err(e) = lp.run() {
                log::error!(target: "tidegate::bench", "{e}");
            }
        };
        let thread = std::thread::Builder::new().name("server".into()).spawn(serve)?;
        let (at, remote) = take.recv().map_err(io::Error::other)??;
        Ok(Server { at, remote, thread: Some(thread) })
    }
}

fn make(http: bool) -> io::Result<(Loop, SocketAddr, Remote)> {
    let mut lp = Loop::new()?;
    let options = ListenOptions::new("127.0.0.1:0").backlog(BACKLOG).no_delay(true);
    let server = if http {
        lp.http_listen(options, |_, x| x.reply(200, "Hello, World!\n"))
    } else {
        lp.listen(options, |conn| {
            let echo = |s: &mut SocketCx<'_>, chunk: &[u8]| {
                if s.write(chunk) == Flow::Full {
                    s.pause();
                }
            };
            // Clients leave with a reset: that is no error here.
            conn.accept(On::new().data(echo).drain(|s| s.resume()).close(|_, _| {}));
        })
    };
    let at = lp.server(server?).local_addr()?;
    let remote = lp.remote();
    Ok((lp, at, remote))
}

impl Drop for Server {
    fn drop(&mut self) {
        let told = self.remote.post(|cx: &mut Cx<'_>| cx.close_all());
        if let (Ok(()), Some(thread)) = (told, self.thread.take()) {
            let _ = thread.join();
        }
    }
}
