//! Closures as a [`Handler`]. Those that get a value of the loop are in `shared.rs`.
#![forbid(unsafe_code)]

use tidegate_loop::AsCx;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::handler::Handler;
use crate::error::close::{Close, Reason};
use crate::peer_state::PeerState;

pub(crate) mod shared;

type OnEvent<S> = Option<Box<dyn FnMut(&mut S, &mut SocketCx<'_>)>>;

type OnData<S> = Option<Box<dyn FnMut(&mut S, &mut SocketCx<'_>, &[u8])>>;

type OnHangup<S> = Option<Box<dyn FnMut(&mut S, &mut SocketCx<'_>, PeerState)>>;

type OnTimer<S> = Option<Box<dyn FnMut(&mut S, &mut SocketCx<'_>, u64)>>;

type OnWritten<S> = Option<Box<dyn FnMut(&mut S, &mut SocketCx<'_>, u64, Result<(), &Reason>)>>;

type OnClose<S> = Option<Box<dyn FnMut(&mut S, &mut SocketCx<'_>, Close)>>;

/// A [`Handler`] made of closures. A callback that is not set does what the handler does by
/// default.
///
/// ```
/// use tidegate_net::{Flow, On};
/// let echo = On::new()
///     .data(|s, chunk| if s.write(chunk) == Flow::Full { s.pause() })
///     .drain(|s| s.resume());
/// # let _ = echo;
/// ```
#[derive(Default)]
pub struct On(OnWith<()>);

impl On {
    /// No closure yet.
    pub fn new() -> On {
        On::default()
    }

    /// Closures that share a state: each gets `&mut S` first.
    ///
    /// ```
    /// use tidegate_net::On;
    /// let count = On::with(0u64).data(|seen, _, chunk| *seen += chunk.len() as u64);
    /// # let _ = count;
    /// ```
    pub fn with<S: 'static>(state: S) -> OnWith<S> {
        OnWith {
            state,
            connect: None,
            ready: None,
            data: None,
            drain: None,
            written: None,
            end: None,
            hangup: None,
            finish: None,
            timeout: None,
            timer: None,
            shutdown: None,
            close: None,
        }
    }

    /// [`Handler::on_connect`].
    pub fn connect(self, mut f: impl FnMut(&mut SocketCx<'_>) + 'static) -> On {
        On(self.0.connect(move |(), s| f(s)))
    }

    /// [`Handler::on_ready`].
    pub fn ready(self, mut f: impl FnMut(&mut SocketCx<'_>) + 'static) -> On {
        On(self.0.ready(move |(), s| f(s)))
    }

    /// [`Handler::on_data`].
    pub fn data(self, mut f: impl FnMut(&mut SocketCx<'_>, &[u8]) + 'static) -> On {
        On(self.0.data(move |(), s, chunk| f(s, chunk)))
    }

    /// [`Handler::on_drain`].
    pub fn drain(self, mut f: impl FnMut(&mut SocketCx<'_>) + 'static) -> On {
        On(self.0.drain(move |(), s| f(s)))
    }

    /// [`Handler::on_written`].
    pub fn written(
        self,
        mut f: impl FnMut(&mut SocketCx<'_>, u64, Result<(), &Reason>) + 'static,
    ) -> On {
        On(self.0.written(move |(), s, id, result| f(s, id, result)))
    }

    /// [`Handler::on_end`].
    pub fn end(self, mut f: impl FnMut(&mut SocketCx<'_>) + 'static) -> On {
        On(self.0.end(move |(), s| f(s)))
    }

    /// [`Handler::on_hangup`].
    ///
    /// ```
    /// use tidegate_net::{On, PeerState};
    /// // It is paused while an answer is worked out, which nobody waits for any more.
    /// let on = On::new().data(|s, _| s.pause()).hangup(|s, peer| {
    ///     if peer == PeerState::Gone { s.destroy() }
    /// });
    /// # let _ = on;
    /// ```
    pub fn hangup(self, mut f: impl FnMut(&mut SocketCx<'_>, PeerState) + 'static) -> On {
        On(self.0.hangup(move |(), s, peer| f(s, peer)))
    }

    /// [`Handler::on_finish`].
    pub fn finish(self, mut f: impl FnMut(&mut SocketCx<'_>) + 'static) -> On {
        On(self.0.finish(move |(), s| f(s)))
    }

    /// [`Handler::on_timeout`]. Without it an idle connection is closed. To say goodbye first:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_net::{ListenOptions, On};
    /// let options = ListenOptions::new("127.0.0.1:0")
    ///     .idle_timeout(Duration::from_secs(300))
    ///     .linger_timeout(Duration::from_secs(5)); // for peers that do not end their side
    /// let polite = On::new().timeout(|s| { let _ = s.end_with("idle\n"); });
    /// # let _ = (options, polite);
    /// ```
    pub fn timeout(self, mut f: impl FnMut(&mut SocketCx<'_>) + 'static) -> On {
        On(self.0.timeout(move |(), s| f(s)))
    }

    /// [`Handler::on_timer`].
    pub fn timer(self, mut f: impl FnMut(&mut SocketCx<'_>, u64) + 'static) -> On {
        On(self.0.timer(move |(), s, token| f(s, token)))
    }

    /// [`Handler::on_shutdown`]. Without it our side ends after what is queued.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |conn| {
    ///     conn.accept(On::new().shutdown(|s| { let _ = s.end_with("going down\n"); }));
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new().data(|_, text| assert_eq!(text, b"going down\n")));
    /// lp.after(Duration::from_millis(5), move |cx| {
    ///     cx.server(server).shutdown(Duration::from_secs(5)).unwrap();
    /// });
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(self, mut f: impl FnMut(&mut SocketCx<'_>) + 'static) -> On {
        On(self.0.shutdown(move |(), s| f(s)))
    }

    /// [`Handler::on_close`].
    pub fn close(self, mut f: impl FnMut(&mut SocketCx<'_>, Close) + 'static) -> On {
        On(self.0.close(move |(), s, close| f(s, close)))
    }
}

/// [`On`] with a state. Made by [`On::with`].
///
/// ```
/// use tidegate_net::{On, OnWith};
/// let greet: OnWith<String> = On::with("hello".to_string())
///     .connect(|text, s| { let _ = s.write(text.as_bytes()); })
///     .close(|text, _, close| println!("{text}: {close}"));
/// # let _ = greet;
/// ```
#[derive(Default)]
pub struct OnWith<S> {
    pub(crate) state: S,
    connect: OnEvent<S>,
    ready: OnEvent<S>,
    data: OnData<S>,
    drain: OnEvent<S>,
    written: OnWritten<S>,
    end: OnEvent<S>,
    hangup: OnHangup<S>,
    finish: OnEvent<S>,
    timeout: OnEvent<S>,
    timer: OnTimer<S>,
    shutdown: OnEvent<S>,
    close: OnClose<S>,
}

impl<S: 'static> OnWith<S> {
    /// [`Handler::on_connect`].
    pub fn connect(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>) + 'static) -> Self {
        self.connect = Some(Box::new(f));
        self
    }

    /// [`Handler::on_ready`].
    pub fn ready(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>) + 'static) -> Self {
        self.ready = Some(Box::new(f));
        self
    }

    /// [`Handler::on_data`].
    pub fn data(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>, &[u8]) + 'static) -> Self {
        self.data = Some(Box::new(f));
        self
    }

    /// [`Handler::on_drain`].
    pub fn drain(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>) + 'static) -> Self {
        self.drain = Some(Box::new(f));
        self
    }

    /// [`Handler::on_written`].
    pub fn written(
        mut self,
        f: impl FnMut(&mut S, &mut SocketCx<'_>, u64, Result<(), &Reason>) + 'static,
    ) -> Self {
        self.written = Some(Box::new(f));
        self
    }

    /// [`Handler::on_end`].
    pub fn end(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>) + 'static) -> Self {
        self.end = Some(Box::new(f));
        self
    }

    /// [`Handler::on_hangup`].
    pub fn hangup(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>, PeerState) + 'static) -> Self {
        self.hangup = Some(Box::new(f));
        self
    }

    /// [`Handler::on_finish`].
    pub fn finish(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>) + 'static) -> Self {
        self.finish = Some(Box::new(f));
        self
    }

    /// [`Handler::on_timeout`]. Without it an idle connection is closed.
    pub fn timeout(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>) + 'static) -> Self {
        self.timeout = Some(Box::new(f));
        self
    }

    /// [`Handler::on_timer`].
    pub fn timer(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>, u64) + 'static) -> Self {
        self.timer = Some(Box::new(f));
        self
    }

    /// [`Handler::on_shutdown`]. Without it our side ends after what is queued.
    pub fn shutdown(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>) + 'static) -> Self {
        self.shutdown = Some(Box::new(f));
        self
    }

    /// [`Handler::on_close`].
    pub fn close(mut self, f: impl FnMut(&mut S, &mut SocketCx<'_>, Close) + 'static) -> Self {
        self.close = Some(Box::new(f));
        self
    }
}

impl<S: 'static> Handler for OnWith<S> {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        if let Some(f) = &mut self.connect {
            f(&mut self.state, s);
        }
    }

    fn on_ready(&mut self, s: &mut SocketCx<'_>) {
        if let Some(f) = &mut self.ready {
            f(&mut self.state, s);
        }
    }

    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        if let Some(f) = &mut self.data {
            f(&mut self.state, s, chunk);
        }
    }

    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        if let Some(f) = &mut self.drain {
            f(&mut self.state, s);
        }
    }

    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, result: Result<(), &Reason>) {
        if let Some(f) = &mut self.written {
            f(&mut self.state, s, id, result);
        }
    }

    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        if let Some(f) = &mut self.end {
            f(&mut self.state, s);
        }
    }

    fn on_hangup(&mut self, s: &mut SocketCx<'_>, peer: PeerState) {
        if let Some(f) = &mut self.hangup {
            f(&mut self.state, s, peer);
        }
    }

    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        if let Some(f) = &mut self.finish {
            f(&mut self.state, s);
        }
    }

    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        match &mut self.timeout {
            Some(f) => f(&mut self.state, s),
            None => s.time_out(),
        }
    }

    fn on_timer(&mut self, s: &mut SocketCx<'_>, token: u64) {
        if let Some(f) = &mut self.timer {
            f(&mut self.state, s, token);
        }
    }

    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        match &mut self.shutdown {
            Some(f) => f(&mut self.state, s),
            None => s.shut_down(),
        }
    }

    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        match &mut self.close {
            Some(f) => f(&mut self.state, s, close),
            None => close.unhandled(&mut s.cx()),
        }
    }
}

impl Handler for On {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_connect(s);
    }
    fn on_ready(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_ready(s);
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, chunk: &[u8]) {
        self.0.on_data(s, chunk);
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_drain(s);
    }
    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, result: Result<(), &Reason>) {
        self.0.on_written(s, id, result);
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_end(s);
    }
    fn on_hangup(&mut self, s: &mut SocketCx<'_>, peer: PeerState) {
        self.0.on_hangup(s, peer);
    }
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_finish(s);
    }
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_shutdown(s);
    }
    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_timeout(s);
    }
    fn on_timer(&mut self, s: &mut SocketCx<'_>, token: u64) {
        self.0.on_timer(s, token);
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, close: Close) {
        self.0.on_close(s, close);
    }
}
