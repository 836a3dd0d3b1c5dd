//! What a loop keeps of clients: agents, their connections, and the requests.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;
use tidegate_loop::kind::{Driver, LayerId};
use tidegate_loop::{Cx, Key, TimerKey};
use tidegate_net::pool_machine::{ConnId, Pool};
use tidegate_net::{Protocol, SocketKey};
use tidegate_stream::PipeKey;

use crate::client::callbacks::{Answered, ResponseHandler};
use crate::client::error::{RequestCause, RequestError, RequestStage};
use crate::client::event::AgentMetrics;
use crate::client::options::Agent;
use crate::client::origin::Origin;
use crate::client::request::{Body, Timeouts};
use crate::codec::{Encoder, ResponseDecoder};

/// The layer.
pub(crate) static CLIENT: LayerId<Layer> = LayerId::new(Layer::default);

/// What the pool calls a connection: its place in the slab, and which one must stand there.
pub(crate) type Tag = (usize, SocketKey);

#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) agents: Slab<AgentRow>,
    pub(crate) requests: Slab<Request>,
    pub(crate) conns: Slab<Conn>,
    /// The agent of requests that name none.
    pub(crate) usual: Option<Key>,
}

/// An agent.
pub(crate) struct AgentRow {
    pub(crate) options: Rc<Agent>,
    pub(crate) pool: Pool<Origin, Tag, Key>,
    pub(crate) metrics: AgentMetrics,
    /// What its connections belong to.
    pub(crate) protocol: &'static Protocol,
}

/// A connection of an agent.
pub(crate) struct Conn {
    pub(crate) agent: Key,
    /// `None`: the pool does not know it any more.
    pub(crate) id: Option<ConnId>,
    /// `None`: it is being begun.
    pub(crate) socket: Option<SocketKey>,
    pub(crate) connected: bool,
    pub(crate) decoder: ResponseDecoder,
    /// Folded fields are joined.
    pub(crate) joins_folded: bool,
    /// The beginning of a head, or of trailers.
    pub(crate) rest: Vec<u8>,
    pub(crate) request: Option<Key>,
    /// Bytes that the kernel had taken before the request.
    pub(crate) written_before: u64,
    /// What the answer's head says: whether it goes on, and for how many seconds.
    pub(crate) keep_alive: bool,
    pub(crate) hint: Option<u64>,
    /// When it became free.
    pub(crate) freed: u64,
}

/// How much of a request was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    Nothing,
    /// The head; the body waits for 100.
    Head,
    /// The head, and a part of the body.
    Part,
    All,
}

/// A request.
pub(crate) struct Request {
    pub(crate) agent: Key,
    pub(crate) origin: Option<Origin>,
    pub(crate) handler: Option<Box<dyn ResponseHandler>>,
    pub(crate) method: Cow<'static, str>,
    pub(crate) head: Vec<u8>,
    pub(crate) encoder: Encoder,
    pub(crate) body: Body,
    /// What was written before it could be sent.
    pub(crate) early: Vec<u8>,
    /// Some of a streamed body went to a connection.
    pub(crate) has_streamed: bool,
    /// A streamed body was ended.
    pub(crate) ended: bool,
    pub(crate) sent: Sent,
    /// A write of the body returned `Full`.
    pub(crate) full: bool,
    pub(crate) expect: Option<Duration>,
    pub(crate) idempotent: bool,
    /// Another protocol was asked for.
    pub(crate) upgrade: bool,
    /// The callback that runs may take the connection.
    pub(crate) may_upgrade: bool,
    pub(crate) upgraded: Option<SocketKey>,
    pub(crate) timeouts: Timeouts,
    pub(crate) started: u64,
    /// When the stage began.
    pub(crate) since: u64,
    /// When a byte moved in this stage.
    pub(crate) moved: u64,
    /// Bytes that the kernel took of it, when that was looked at.
    pub(crate) written: u64,
    pub(crate) timer: Option<TimerKey>,
    /// When the timer comes up.
    pub(crate) armed: u64,
    pub(crate) conn: Option<usize>,
    pub(crate) stage: RequestStage,
    /// A byte of an answer came.
    pub(crate) answered: bool,
    pub(crate) reused: bool,
    pub(crate) retried: bool,
    pub(crate) status: u16,
    pub(crate) informational: u8,
    pub(crate) received: u64,
    pub(crate) paused: bool,
    pub(crate) into: Option<PipeKey>,
    pub(crate) from: Option<PipeKey>,
    pub(crate) result: Option<Result<Answered, RequestError>>,
    /// Set while the request is not begun: what is wrong with it.
    pub(crate) wrong: Option<RequestCause>,
}

impl Layer {
    pub(crate) fn agent(&mut self, d: &Driver<'_>, key: Key) -> Option<&mut AgentRow> {
        self.agents.get_mut(d.data(CLIENT.owner(), key)? as usize)
    }

    /// A request that is not over.
    pub(crate) fn request(&mut self, d: &Driver<'_>, key: Key) -> Option<&mut Request> {
        let at = d.data(CLIENT.owner(), key)? as usize;
        self.requests.get_mut(at).filter(|r| r.result.is_none())
    }

    pub(crate) fn conn(&mut self, at: u64) -> Option<&mut Conn> {
        self.conns.get_mut(at as usize)
    }

    /// A connection, if this is the one that stands there.
    pub(crate) fn tagged(&mut self, tag: Tag) -> Option<&mut Conn> {
        self.conns.get_mut(tag.0).filter(|c| c.socket == Some(tag.1))
    }
}

impl Request {
    /// Whether it can be sent once more.
    pub(crate) fn is_replayable(&self) -> bool {
        !self.has_streamed
    }
}

/// A time as the clock's number.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A request that is not over, for as long as `f` runs.
pub(crate) fn with_request<R>(
    cx: &mut Cx<'_>,
    key: Key,
    f: impl FnOnce(&mut Request, &mut Driver<'_>) -> R,
) -> Option<R> {
    let (layer, mut d) = cx.layer(&CLIENT);
    layer.request(&d, key).map(|r| f(r, &mut d))
}

/// The socket of a request that has one.
pub(crate) fn socket_of(cx: &mut Cx<'_>, key: Key) -> Option<SocketKey> {
    let (layer, d) = cx.layer(&CLIENT);
    let at = layer.request(&d, key)?.conn?;
    layer.conns.get(at)?.socket
}
