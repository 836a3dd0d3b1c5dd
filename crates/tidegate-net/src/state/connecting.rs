//! What a connection needs until it is made: its options, the addresses that wait, the attempts
//! that are under way, those that failed.
//!
//! What happens to it is in `client/`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use tidegate_loop::kind::Handle;
use tidegate_loop::{Cx, Key, TimerKey};

use crate::error::net_error::{Attempt, NetError};
use crate::error::stage::Stage;
use crate::key::OWNER;
use crate::options::connect::ConnectOptions;

/// What a connection needs until it is made.
pub(crate) struct Connecting {
    pub(crate) options: ConnectOptions,
    pub(crate) port: u16,
    /// Until the lookup began.
    pub(crate) host: Option<String>,
    /// What was asked for, if it was a name.
    pub(crate) name: Option<String>,
    pub(crate) waiting: VecDeque<SocketAddr>,
    /// Addresses beyond the limit.
    pub(crate) left_out: usize,
    /// Those beside others.
    pub(crate) running: Vec<Running>,
    pub(crate) failed: Vec<Attempt>,
    /// For the next address, or for the next try.
    pub(crate) delay: Option<TimerKey>,
    /// This is the how-manieth try, from 1.
    pub(crate) tries: u32,
    /// The next try is to come after so long: its timer is not started yet.
    pub(crate) rest: Option<Duration>,
    /// When the attempt on the connection's own slot began.
    pub(crate) alone_since: u64,
}

impl Connecting {
    /// The address that was to be ours, if one was asked for.
    pub(crate) fn own_address(&self) -> Option<SocketAddr> {
        let o = &self.options;
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let asked = o.local_ip.is_some() || o.local_port != 0;
        asked.then(|| SocketAddr::new(o.local_ip.unwrap_or(any), o.local_port))
    }

    /// Closes the attempts that are under way, whether one won or none.
    pub(crate) fn drop_attempts(&mut self, h: &mut Handle<'_>) {
        self.waiting.clear();
        for lost in self.running.drain(..) {
            lost.close(h);
        }
    }

    /// The time is over: what is under way has failed by that. `alone` is the address that is
    /// tried on the connection's own slot.
    pub(crate) fn give_up_on_running(&mut self, alone: Option<SocketAddr>, now: u64) {
        let alone = alone.map(|remote| (remote, self.alone_since));
        let beside = self.running.iter().map(|r| (r.remote, r.since));
        for (remote, since) in beside.chain(alone) {
            let elapsed = Duration::from_nanos(now.saturating_sub(since));
            let error = io::Error::new(io::ErrorKind::TimedOut, "no answer yet");
            let stage = Stage::Connect;
            self.failed.push(Attempt { remote, stage, elapsed, error: Arc::new(error) });
        }
    }

    /// How long to wait for the next try after this error; `None`: this was the last.
    pub(crate) fn next_try(&self, error: &NetError) -> Option<Duration> {
        use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
        let stays = matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported);
        self.options.back_off.delay(self.tries).filter(|_| !stays)
    }

    /// The next try begins with nothing.
    pub(crate) fn begin_again(&mut self) {
        (self.tries, self.delay) = (self.tries.saturating_add(1), None);
        (self.left_out, self.alone_since) = (0, 0);
        self.failed.clear();
    }

    /// The connection is over before it was made.
    pub(crate) fn forget(&self, cx: &mut Cx<'_>) {
        if let Some(timer) = self.delay {
            let _ = cx.timer_stop(timer);
        }
    }

    /// Addresses that had no turn.
    pub(crate) fn untried(&self) -> usize {
        self.left_out + self.waiting.len()
    }
}

/// One that runs beside others.
pub(crate) struct Running {
    pub(crate) key: Key,
    pub(crate) stream: TcpStream,
    pub(crate) remote: SocketAddr,
    pub(crate) since: u64,
}

impl Running {
    /// It lost. `h` is the handle of its connection.
    pub(crate) fn close(mut self, h: &mut Handle<'_>) {
        h.before_close(&mut self.stream);
        if let Some(attempt) = h.other(&OWNER, self.key) {
            attempt.free();
        }
    }
}
