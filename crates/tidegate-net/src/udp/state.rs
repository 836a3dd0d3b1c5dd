//! [`Udp`]: a UDP socket, who owns it, and what it waits for.
//!
//! A socket that receives is registered level-triggered where the system can: then one `recvfrom`
//! for each wake-up is enough, and no call is made only to hear that there is no more. It is
//! registered for writing only while the kernel has no room: Linux announces room for each datagram
//! that leaves, also if nobody waits.
//!
//! | watched | when | how it receives |
//! |---|---|---|
//! | Level | it receives | as much as is likely there |
//! | Edge | the same, where there is no level trigger | until `WouldBlock` |
//! | Both | the kernel had no room for a datagram | until `WouldBlock` |
//! | Nothing | it is paused or ends, and was Level | not |
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::Interest;
use mio::net::UdpSocket;
use slab::Slab;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Driver, Handle, LayerId, LayerLimits, Runtime, Trigger};
use tidegate_loop::{Cx, LimitError};

use crate::block_list::BlockList;
use crate::callbacks::udp_handler::UdpHandler;
use crate::datagram::{Meta, SendError, UdpReason};
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::event::NetEvent;
use crate::gauge::UdpGauged;
use crate::key::UdpKey;
use crate::metrics::{UdpStats, Waiting};
use crate::options::limits::UdpLimits;
use crate::options::udp::Bounds;
use crate::sys::udp::Slots;
use crate::udp::machine::flush::Segments;
use crate::udp::machine::queue::Queue;
use crate::udp::pace::Pace;
use crate::udp_event::{UdpEvent, UdpInfo};

/// The UDP sockets of a loop.
pub(crate) static UDP: LayerId<UdpLayer> = LayerId::new(UdpLayer::default);

#[derive(Default)]
pub(crate) struct UdpLayer {
    pub(crate) sockets: Slab<Udp>,
    pub(crate) shared: Shared,
}

/// What the sockets of a loop share.
#[derive(Default)]
pub(crate) struct Shared {
    /// Where datagrams are received to. Away while one of the sockets receives.
    pub(crate) slots: Option<Box<Slots>>,
    /// Queues that nobody uses now, with their memory: the box is part of it.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Queue>>,
    pub(crate) limits: UdpLimits,
    /// What all queues hold, as limits count it.
    pub(crate) held: usize,
}

impl LayerLimits for UdpLimits {
    fn check(&self) -> Result<(), LimitError> {
        self.none_is_zero()
    }

    fn set(&self, cx: &mut Cx<'_>) {
        cx.layer(&UDP).0.shared.limits = self.clone();
    }
}

/// Queues kept for the next that needs one.
const SPARE: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    Open,
    /// It sends what is queued, and closes.
    Ending,
    Closing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    Nothing,
    Level,
    Edge,
    Both,
}

/// What is to be told by a callback.
#[derive(Debug)]
pub(crate) enum Told {
    Sent(u64),
    Failed(Option<u64>, SendError),
    Error(NetError),
}

pub(crate) struct Udp {
    pub(crate) key: UdpKey,
    /// `None` once the descriptor is closed.
    pub(crate) socket: Option<UdpSocket>,
    /// `None` while its callback runs.
    pub(crate) handler: Option<Box<dyn UdpHandler>>,
    /// `None` while nothing waits to be sent.
    pub(crate) queue: Option<Box<Queue>>,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) bounds: Bounds,
    pub(crate) pace: Pace,
    pub(crate) segments: Segments,
    pub(crate) life: Life,
    pub(crate) watched: Watched,
    pub(crate) is: Is,
    pub(crate) counts: Counts,
}

/// What is so of a socket.
#[derive(Clone, Copy, Default)]
pub(crate) struct Is {
    pub(crate) v6: bool,
    pub(crate) paused: bool,
    pub(crate) connected: bool,
    /// Its own dispatch sends what its callbacks queue.
    pub(crate) corked: bool,
    /// Datagrams come singly: the first that a callback sends leaves at once, from where it lies.
    pub(crate) answers_at_once: bool,
    /// The kernel has no room.
    pub(crate) blocked: bool,
    /// It is to be tried again without an announcement; and the timer for that runs.
    pub(crate) retrying: bool,
    pub(crate) timed: bool,
    /// It keeps the loop alive for what is queued.
    pub(crate) busy: bool,
    pub(crate) needs_drain: bool,
    /// Control messages come with datagrams.
    pub(crate) controlled: bool,
    /// Datagrams in one piece: how many the longest of the last call had. 0: there are no trains.
    pub(crate) train: u8,
    pub(crate) hears_errors: bool,
    /// Receiving failed so often since something came.
    pub(crate) failing: u8,
}

/// The counters of every socket; those of few are in [`Rare`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) receive_calls: u64,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) send_calls: u64,
}

/// What few sockets have.
#[derive(Default)]
pub(crate) struct Rare {
    /// Received, and held back by a pause or the budget.
    pub(crate) kept: VecDeque<(Meta, Vec<u8>)>,
    /// Received, and not delivered because a callback panicked.
    pub(crate) lost: usize,
    pub(crate) told: VecDeque<Told>,
    pub(crate) block_list: Option<Arc<BlockList>>,
    pub(crate) gauged: Option<UdpGauged>,
    pub(crate) reason: Option<UdpReason>,
    /// The counters that are in no [`Counts`].
    pub(crate) stats: UdpStats,
}

impl UdpLayer {
    /// A socket, its handle, and what it shares.
    #[inline]
    pub(crate) fn lend<'s, 'd>(
        &'s mut self,
        d: &'d mut Driver<'_>,
        key: UdpKey,
    ) -> Option<(&'s mut Udp, Handle<'d>, &'s mut Shared)> {
        let handle = d.handle(UDP.owner(), key.0)?;
        let u = self.sockets.get_mut(handle.data() as usize)?;
        Some((u, handle, &mut self.shared))
    }

    #[inline]
    pub(crate) fn get(&mut self, d: &Driver<'_>, key: UdpKey) -> Option<&mut Udp> {
        self.sockets.get_mut(d.data(UDP.owner(), key.0)? as usize)
    }
}

impl Shared {
    /// A queue for a socket that has none.
    pub(crate) fn queue(&mut self) -> Box<Queue> {
        self.spare.pop().unwrap_or_default()
    }

    /// An empty queue that is not needed now.
    pub(crate) fn give_back(&mut self, queue: Box<Queue>) {
        if self.spare.len() < SPARE {
            self.spare.push(queue);
        }
    }
}

impl Udp {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Whether it wants datagrams.
    #[inline]
    pub(crate) fn receives(&self) -> bool {
        self.life == Life::Open && !self.is.paused
    }

    pub(crate) fn waiting(&self) -> Waiting {
        let queue = self.queue.as_ref();
        Waiting { bytes: queue.map_or(0, |q| q.bytes()), datagrams: queue.map_or(0, |q| q.len()) }
    }

    /// What waits for the peer of before still goes there.
    pub(crate) fn keep_destination(&mut self, before: Option<SocketAddr>) {
        if let (Some(queue), Some(to)) = (&mut self.queue, before) {
            queue.address(to);
        }
    }

    /// What the answers that wait for their callbacks count to the queue's limits: as much as the
    /// entries of their datagrams did.
    #[inline]
    pub(crate) fn news(&self) -> usize {
        self.rare.as_ref().map_or(0, |r| r.told.len() * Queue::weight_of(0))
    }

    /// Notes an error of the network for its callback. It belongs to no datagram: beyond the limit
    /// it is only counted.
    pub(crate) fn note_error(&mut self, error: NetError) {
        if self.news() < self.bounds.queue as usize {
            self.rare().told.push_back(Told::Error(error));
        }
    }

    pub(crate) fn has_kept(&self) -> bool {
        self.rare.as_ref().is_some_and(|r| !r.kept.is_empty())
    }

    pub(crate) fn stats(&self) -> UdpStats {
        let rare = self.rare.as_ref().map_or(UdpStats::default(), |r| r.stats);
        let Counts { received, received_bytes, receive_calls, sent, sent_bytes, send_calls } =
            self.counts;
        UdpStats { received, received_bytes, receive_calls, sent, sent_bytes, send_calls, ..rare }
    }

    /// Tells the observer, if there is one.
    #[inline(always)]
    pub(crate) fn tell(&self, rt: &mut Runtime<'_>, event: impl FnOnce() -> UdpEvent) {
        rt.emit(|| {
            let local = self.socket.as_ref().and_then(|s| s.local_addr().ok());
            NetEvent::Udp(UdpInfo { key: self.key, local }, event())
        });
    }

    /// The end, for this reason: the descriptor is closed now, `on_close` comes in the closing
    /// phase. Only the first reason counts.
    pub(crate) fn destroy(&mut self, h: &mut Handle<'_>, reason: UdpReason) {
        if self.life == Life::Closing {
            return;
        }
        self.life = Life::Closing;
        self.is.blocked = false;
        let unsent = self.waiting().datagrams;
        self.tell(h, || UdpEvent::Closed { reason: reason.clone(), unsent });
        let rare = self.rare();
        rare.gauged = None;
        rare.reason = Some(reason);
        if let Some(mut socket) = self.socket.take() {
            match self.watched {
                // The descriptor may be shared: one that was adopted.
                Watched::Level => drop(h.deregister_level(&mut socket)),
                _ => h.before_close(&mut socket),
            }
        }
        h.close();
    }

    /// Makes the poller watch for what the socket waits for now.
    pub(crate) fn watch(&mut self, h: &mut Handle<'_>) {
        let wants = match (self.watched, self.is.blocked, self.receives()) {
            (Watched::Both, true, _) | (Watched::Edge, false, _) => return,
            (Watched::Level, false, true) | (Watched::Nothing, false, false) => return,
            (_, true, _) => Watched::Both,
            (_, false, true) => Watched::Level,
            (_, false, false) => Watched::Nothing,
        };
        if let Err(e) = self.rewatch(h, wants) {
            let error = NetError::new(Stage::Register, e);
            self.destroy(h, UdpReason::Failed(Arc::new(error)));
        }
    }

    /// Registers a socket that was just made.
    pub(crate) fn first_watch(&mut self, h: &mut Handle<'_>) -> io::Result<()> {
        self.rewatch(h, Watched::Level)
    }

    /// After an error, which is not the end of a UDP socket: mio's poll(2) has forgotten it.
    pub(crate) fn watch_again(&mut self, h: &mut Handle<'_>) {
        if let (Some(socket), Watched::Edge | Watched::Both) = (&mut self.socket, self.watched) {
            // It fails where the socket is forgotten.
            let _ = h.deregister(socket);
            self.watched = Watched::Nothing;
            self.watch(h);
        }
    }

    fn rewatch(&mut self, h: &mut Handle<'_>, wants: Watched) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let both = Interest::READABLE | Interest::WRITABLE;
        match self.watched {
            Watched::Level => h.deregister_level(socket)?,
            Watched::Both | Watched::Edge => h.deregister(socket)?,
            Watched::Nothing => {}
        }
        self.watched = Watched::Nothing;
        self.watched = match wants {
            Watched::Level => match h.register_level(socket)? {
                Trigger::Level => Watched::Level,
                Trigger::Edge => Watched::Edge,
            },
            Watched::Both | Watched::Edge => {
                h.register(socket, both)?;
                Watched::Both
            }
            Watched::Nothing => Watched::Nothing,
        };
        Ok(())
    }

    /// Goes on where a pause stopped.
    pub(crate) fn go_on(&mut self, h: &mut Handle<'_>) {
        self.watch(h);
        if self.has_kept() || h.readiness().has(Readiness::READABLE) {
            h.queue();
        }
    }
}
