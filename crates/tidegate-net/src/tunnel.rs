//! [`SocketCx::tunnel`]: a client asks for a target, gets an answer when it is connected or cannot be,
//! and is then joined with it.
//!
//! | what happens | `answer` gets | `done` gets |
//! |---|---|---|
//! | the target is connected | its key | later: how the tunnel ended |
//! | the target cannot be reached | the reason | the same, at the sink |
//! | the client ends before that | - | the client's reason, at the source |
//!
//! How bytes pass over is in `run/join.rs` of the stream crate.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use tidegate_loop::{AsCx, Cx};
use tidegate_stream::{PipeError, PipeStage, StreamError, Streams};

use crate::callbacks::contexts::SocketCx;
use crate::error::close::{Close, Reason};
use crate::face::net::Net;
use crate::face::on::On;
use crate::key::SocketKey;
use crate::options::connect::ConnectOptions;
use crate::peer_state::PeerState;

type Answer = Box<dyn FnOnce(&mut SocketCx<'_>, Result<SocketKey, &Reason>)>;

type Done = Box<dyn FnOnce(&mut Cx<'_>, Result<(), PipeError>)>;

/// What waits for the target. The first of the two connections with news takes it.
type Waiting = Rc<Cell<Option<Parts>>>;

struct Parts {
    /// `None` while it is called.
    answer: Option<Answer>,
    done: Done,
}

impl SocketCx<'_> {
    /// Connects to a target, and joins this connection with it: what proxies do whose clients name
    /// the target, as those of SOCKS and of HTTP's `CONNECT`.
    ///
    /// Meanwhile the client is paused: what it sends already is for the target. Then `answer` is
    /// called once, with the client. `Ok`: the target is connected; write what the client waits for,
    /// then the two are [joined](Streams::join). `Err`: it cannot be reached; say so, and
    /// [`end`](SocketCx::end). What the client sends then is dropped, unless you set a handler. A
    /// client that is closed or reset before takes the attempt with it, and there is no `answer`; a
    /// [shutdown](crate::ServerCx::shutdown) of its server destroys it.
    ///
    /// `done` is called once, at the end of all this: when both directions are over, or with the
    /// error that came first, at [`PipeStage::Source`] if it was the client's, at
    /// [`PipeStage::Sink`] if it was the target's.
    ///
    /// The client's handler is replaced; its `on_close` does not come. To end the tunnel early,
    /// destroy one of the two; the target's key is returned.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Lines, Net, On};
    /// let mut lp = Loop::new()?;
    /// let proxy = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     conn.accept(On::new().framed(Lines::new(255), |s, target| {
    ///         let target = String::from_utf8_lossy(target);
    ///         s.tunnel(
    ///             &*target,
    ///             |client, reached| drop(match reached {
    ///                 Ok(_) => client.write("reached\n"),
    ///                 Err(reason) => client.end_with(format!("{reason}\n")),
    ///             }),
    ///             |_, result| println!("{result:?}"),
    ///         );
    ///         tidegate_net::Flow::Closed // the rest is for the target
    ///     }));
    /// })?;
    /// let at = lp.server(proxy).local_addr()?;
    /// let client = lp.connect(at, On::new().data(|_, text| {
    ///     assert!(text.starts_with(b"connect to 127.0.0.1:1 failed"));
    /// }));
    /// let _ = lp.socket(client).write("127.0.0.1:1\n");
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn tunnel(
        &mut self,
        to: impl Into<ConnectOptions>,
        answer: impl FnOnce(&mut SocketCx<'_>, Result<SocketKey, &Reason>) + 'static,
        done: impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static,
    ) -> SocketKey {
        let client = self.key();
        let parts = Parts { answer: Some(Box::new(answer)), done: Box::new(done) };
        let waiting: Waiting = Rc::new(Cell::new(Some(parts)));
        let (reached, failed) = (waiting.clone(), waiting.clone());
        let on_target = On::new()
            .connect(move |s| joined(s, client, &reached))
            .close(move |s, close| refused(s, client, &close, failed.take()));
        let target = self.connect(to, on_target);
        self.pause();
        let on_client = On::new()
            .hangup(|s, peer| {
                if peer == PeerState::Gone {
                    s.destroy();
                }
            })
            .shutdown(|s| s.destroy())
            .close(move |s, close| abandoned(s, target, &close, waiting.take()));
        self.set_handler(on_client);
        target
    }
}

/// The target is connected.
fn joined(s: &mut SocketCx<'_>, client: SocketKey, waiting: &Cell<Option<Parts>>) {
    let Some(Parts { answer: Some(answer), done }) = waiting.take() else { return s.destroy() };
    let target = s.key();
    s.socket(client).set_handler(On::new());
    // If the answer panics, the target is destroyed.
    waiting.set(Some(Parts { answer: None, done }));
    answer(&mut s.socket(client), Ok(target));
    if let Some(Parts { done, .. }) = waiting.take() {
        s.join(client, target, done);
    }
}

/// The target is over. There is nothing to say if it was joined.
fn refused(s: &mut SocketCx<'_>, client: SocketKey, close: &Close, waiting: Option<Parts>) {
    let Some(Parts { answer, done }) = waiting else { return close.unhandled(&mut s.cx()) };
    // It comes behind the answer, also if that panics.
    let result = failed(PipeStage::Sink, &close.reason);
    s.next_tick(move |cx| done(cx, result));
    let mut client = s.socket(client);
    match answer {
        Some(answer) => {
            client.set_handler(On::new());
            // To see its end.
            client.resume();
            answer(&mut client, Err(&close.reason));
        }
        None => client.destroy(),
    }
}

/// The client is over before the target was connected.
fn abandoned(s: &mut SocketCx<'_>, target: SocketKey, close: &Close, waiting: Option<Parts>) {
    s.socket(target).destroy();
    if let Some(Parts { done, .. }) = waiting {
        done(&mut s.cx(), failed(PipeStage::Source, &close.reason));
    }
}

fn failed(stage: PipeStage, reason: &Reason) -> Result<(), PipeError> {
    let cause = reason.result().err().unwrap_or(StreamError::Premature);
    Err(PipeError { stage, cause })
}
