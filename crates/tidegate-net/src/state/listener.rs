//! [`Listener`]: a server, and the changes of its state that concern nobody else.
//!
//! | state | event | next |
//! |---|---|---|
//! | Listening | out of descriptors | Held: out of the poller, a timer runs |
//! | Held | the timer, or a connection of this loop closed | Listening |
//! | Listening | `max_connections` are open, and more are to wait | Full: out of the poller |
//! | Full | a connection is over, or `set_max_connections` makes room | Listening |
//! | Listening, Held, Full | `ServerCx::pause` | Paused: out of the poller |
//! | Paused | `ServerCx::resume` | Listening |
//! | any but Closing | `ServerCx::close` | Closing: the descriptor is closed |
//! | Closing | the last connection is over | closing phase, `on_close`, gone |
//!
//! What servers do is in `server/`.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Driver, Handle, Runtime, Trigger};
use tidegate_loop::{Cx, TimerKey};

use crate::callbacks::server_handler::ServerHandler;
use crate::endpoint::Endpoint;
use crate::error::close::Close;
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::event::NetEvent;
use crate::gauge::Gauged;
use crate::key::{OWNER, ServerKey};
use crate::limit::peers::Peers;
use crate::metrics::ServerStats;
use crate::options::listen::Admission;
use crate::options::stream::StreamOptions;
use crate::server_event::{ServerEvent, ServerInfo};
use crate::shutdown_report::ShutdownReport;
use crate::state::fairness::claims::Place;
use crate::state::fairness::pace::{FirstReads, Pace};
use crate::sys::{self, ListenSocket};

/// A statistic of a server.
pub(crate) type Counter = fn(&mut ServerStats) -> &mut u64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Listening,
    Held(TimerKey),
    Full,
    Paused,
    Closing,
}

pub(crate) struct Listener {
    pub(crate) key: ServerKey,
    pub(crate) state: State,
    /// `None` once the descriptor is closed.
    pub(crate) socket: Option<ListenSocket>,
    /// `None` while its callback runs.
    pub(crate) handler: Option<Box<dyn ServerHandler>>,
    pub(crate) local: Endpoint,
    pub(crate) budget: u32,
    pub(crate) trigger: Trigger,
    pub(crate) pace: Pace,
    pub(crate) first_reads: FirstReads,
    pub(crate) place: Place,
    pub(crate) stream: StreamOptions,
    pub(crate) admission: Admission,
    /// Whether accepted connections have more to pass than the limit.
    pub(crate) is_guarded: bool,
    /// Kept for shedding.
    pub(crate) spare: Option<sys::Spare>,
    /// What is kept of each peer, if there are limits for that.
    pub(crate) peers: Option<Box<Peers>>,
    pub(crate) stats: ServerStats,
    /// For gauges of other threads; gone with `socket`.
    pub(crate) gauged: Option<Gauged>,
    /// Since it was shut down.
    pub(crate) farewell: Option<Box<Farewell>>,
    /// Who gets the report of that.
    pub(crate) reporter: Option<Reporter>,
}

/// Gets the report of a shutdown.
pub(crate) type Reporter = Box<dyn FnOnce(&mut Cx<'_>, ShutdownReport)>;

/// A shutdown that is under way.
pub(crate) struct Farewell {
    pub(crate) report: ShutdownReport,
    /// In nanoseconds of the loop.
    pub(crate) began: u64,
}

impl Listener {
    pub(crate) fn error(&self, e: io::Error) -> NetError {
        let error = NetError::new(Stage::Accept, e);
        match &self.local {
            Endpoint::Ip(addr) => error.at(Some(*addr), None),
            path => error.tried(Some(path.to_string()), Vec::new()),
        }
    }

    /// Tells the observer, if there is one.
    #[inline(always)]
    pub(crate) fn tell(&self, rt: &mut Runtime<'_>, event: impl FnOnce() -> ServerEvent) {
        rt.emit(|| {
            NetEvent::Server(ServerInfo { key: self.key, local: self.local.clone() }, event())
        });
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.admission.max_connections.is_some_and(|most| self.stats.connections >= most)
    }

    /// Whether this peer may connect; or which statistic to increment.
    pub(crate) fn ask_block_list(
        &self,
        rt: &mut Runtime<'_>,
        peer: SocketAddr,
    ) -> Result<(), Counter> {
        if self.admission.block_list.as_deref().is_some_and(|list| list.contains(peer.ip())) {
            self.tell(rt, || ServerEvent::Blocked { peer: Some(peer) });
            return Err(|stats| &mut stats.blocked);
        }
        Ok(())
    }

    /// One more connection of this peer, if its limits allow it: whether it was counted.
    pub(crate) fn count_peer(
        &mut self,
        rt: &mut Runtime<'_>,
        peer: SocketAddr,
    ) -> Result<bool, Counter> {
        let Some(peers) = &mut self.peers else { return Ok(false) };
        match peers.add(peer.ip(), rt.now()) {
            Ok(()) => Ok(true),
            Err(limit) => {
                self.tell(rt, || ServerEvent::Limited { peer, limit });
                Err(|stats| &mut stats.limited)
            }
        }
    }

    /// A connection of its callback's is over.
    #[inline]
    pub(crate) fn note_close(&mut self, close: &Close) {
        if let Some(farewell) = &mut self.farewell {
            farewell.report.add(close);
            self.stats.cut_off = farewell.report.cut_off as u64;
        }
    }

    /// One connection less; it counted to this peer's.
    #[inline]
    pub(crate) fn closed_one(&mut self, d: &mut Driver<'_>, peer: Option<IpAddr>) {
        self.stats.connections -= 1;
        if let (Some(ip), Some(peers)) = (peer, &mut self.peers) {
            peers.remove(ip);
        }
        if matches!(self.state, State::Full | State::Closing) {
            self.make_room(d);
        }
    }

    #[cold]
    fn make_room(&mut self, d: &mut Driver<'_>) {
        let Some(mut h) = d.handle(&OWNER, self.key.0) else { return };
        // If it cannot, the next that is over tries again.
        if self.state == State::Full && self.listen_again(&mut h) {
            self.state = State::Listening;
        }
        if self.state == State::Closing && self.stats.connections == 0 {
            h.close();
        }
    }

    /// A listener that accepts nothing must not be level-triggered: every poll would return.
    pub(crate) fn leave_poller(&mut self, h: &mut Handle<'_>) {
        if let (Some(socket), Trigger::Level) = (&mut self.socket, self.trigger) {
            if let Err(e) = h.deregister_level(socket) {
                let alike = ("hold", self.key, e.raw_os_error());
                h.warn(
                    "tidegate::net",
                    alike,
                    1,
                    format_args!("holding {} failed: {e}", self.local),
                );
            }
        }
    }

    /// Registers with the poller again; `false` if that failed.
    pub(crate) fn listen_again(&mut self, h: &mut Handle<'_>) -> bool {
        let back = match (&mut self.socket, self.trigger) {
            (Some(socket), Trigger::Level) => h.register_level(socket).map(|_| ()),
            _ => Ok(()),
        };
        // Accepting just to see would fail for want of a descriptor even if nobody waited, so
        // only an edge-triggered one does.
        if back.is_ok() && self.trigger == Trigger::Edge {
            h.assume(Readiness::READABLE);
            h.queue();
        }
        if back.is_ok() {
            self.tell(h, || ServerEvent::Resumed);
        }
        if let Err(e) = &back {
            let (alike, at) = (("held", self.key, e.raw_os_error()), &self.local);
            h.warn("tidegate::net", alike, 1, format_args!("accept on {at} is still held: {e}"));
        }
        back.is_ok()
    }
}
