//! [`Conn`]: one connection of a server, and the exchange that it is in.
//!
//! | phase | event | next |
//! |---|---|---|
//! | Idle | a part of a head | Head |
//! | Idle, Head | a head | Handling |
//! | Handling | the response is written, the body was read | Idle, or Closing |
//! | Handling | the response is written, nobody wants the rest of the body | Discarding, or Closing |
//! | Discarding | the body is over | Idle, or Closing |
//! | Discarding | there is more of it than is dropped | Closing |
//! | Closing | bytes of ours are queued | Ending |
//! | Closing, Ending | nothing is queued | Draining, or the connection is closed |
//! | any | a refusal | Closing; Broken if a response had begun |
//! | Handling | a reset, or a write that finds the connection over | Broken |
//!
//! Of an exchange, in the phase Handling:
//!
//! | request's body | event | next |
//! |---|---|---|
//! | Unasked, Expected | a user asks for it | Flowing; Expected: the status 100 is sent |
//! | Flowing, Paused | `pause`, `resume` | Paused, Flowing |
//! | Flowing, Paused | `discard` | Unasked |
//! | Flowing | its end | Read |
//! | Read | a handler is set | EndOwed |
//! | EndOwed | a dispatch calls the handler's `on_end` | Read |
//!
//! | response | event | next |
//! |---|---|---|
//! | Unclaimed | somebody will answer | Claimed |
//! | Unclaimed, Claimed | its head is written | Begun |
//! | Begun | its end is written | Done |
#![forbid(unsafe_code)]

use tidegate_net::SocketKey;
use tidegate_stream::PipeKey;

use crate::callbacks::handler::{Broken, ExchangeHandler};
use crate::codec::{Answering, Encoder, RequestDecoder};
use crate::exchange::key::{ExchangeKey, MOST_EXCHANGES};
use crate::exchange::options::HttpOptions;
use crate::message::refusal::Refusal;
use crate::state::clocks::Clocks;

/// This much of a body that nobody wants is read, so that the connection can go on.
pub(crate) const DISCARDED: u64 = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Idle,
    Head,
    Handling,
    /// This much more may be dropped.
    Discarding(u64),
    /// Our side is to end: nothing is decoded any more.
    Closing(Unread),
    /// Our side ends behind what is queued; what comes is dropped.
    Ending(Unread),
    /// Our side has ended; what comes is dropped, within the bounds of `linger`.
    Draining,
    /// It was reset inside of an exchange, and its close is to come. A refusal was the cause, or
    /// none.
    Broken(Option<Refusal>),
}

/// Whether bytes of the peer's are left that will not be read: then closing at once would destroy
/// the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unread {
    /// None, as far as is known.
    Nothing,
    Something,
}

/// The request's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    /// Nobody asked for it.
    Unasked,
    /// Nobody asked for it, and the client waits for the status 100.
    Expected,
    Flowing,
    Paused,
    /// All of it was read.
    Read,
    /// All of it was read, and the handler does not know that yet.
    EndOwed,
}

impl Body {
    /// Whether all of it was read.
    #[inline]
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Body::Read | Body::EndOwed)
    }
}

/// The response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// There may be none.
    Unclaimed,
    /// The user said that it will come.
    Claimed,
    Begun(After),
    Done(After),
}

impl Reply {
    #[inline]
    pub(crate) fn has_begun(self) -> bool {
        matches!(self, Reply::Begun(_) | Reply::Done(_))
    }
}

/// What its head says of the time after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    /// The connection goes on.
    Next,
    Close,
}

/// Whether the connection reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    Flowing,
    /// We paused it: bytes came that cannot be used yet, or a user wants it.
    Paused,
    /// The peer has ended, and all that it sent was read.
    Ended,
}

/// What is kept of a request's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) answering: Answering,
    pub(crate) is_connect: bool,
    /// How long its body is, if that is known.
    pub(crate) length: Option<u64>,
    /// When the head came, in the loop's nanoseconds.
    pub(crate) since: u64,
}

pub(crate) struct Conn {
    pub(crate) socket: SocketKey,
    /// The place of its server.
    pub(crate) server: usize,
    /// Of the exchange that it is in, or of the next one. From 1 on.
    pub(crate) number: u64,
    /// Of its last exchange.
    pub(crate) last: u64,
    pub(crate) decoder: RequestDecoder,
    pub(crate) encoder: Encoder,
    /// The beginning of a head or of trailers.
    pub(crate) rest: Vec<u8>,
    pub(crate) phase: Phase,
    pub(crate) reading: Reading,
    /// A write returned `Full`, and no drain came yet.
    pub(crate) full: bool,
    /// The client asked too often: its next request waits.
    pub(crate) held: bool,
    /// Its requests are in the metrics.
    pub(crate) counted: bool,
    /// Bytes that were out when the clock of writes was set.
    pub(crate) out_before: u64,
    pub(crate) clocks: Clocks,
    pub(crate) request: Request,
    pub(crate) body: Body,
    pub(crate) reply: Reply,
    pub(crate) status: u16,
    /// Bytes of the response's body.
    pub(crate) bytes: u64,
    /// `None` while it is called, or if there is none.
    pub(crate) handler: Option<Box<dyn ExchangeHandler>>,
    /// The pipe that the body goes to, until its end was told.
    pub(crate) body_pipe: Option<PipeKey>,
    /// The pipe that the response comes from.
    pub(crate) reply_pipe: Option<PipeKey>,
    /// What a dispatch has to tell, in this order.
    pub(crate) owed: Vec<Over>,
}

/// What is over, and who has to be told.
#[derive(Default)]
pub(crate) struct Over {
    pub(crate) handler: Option<Box<dyn ExchangeHandler>>,
    pub(crate) body_pipe: Option<PipeKey>,
    pub(crate) reply_pipe: Option<PipeKey>,
    pub(crate) broken: Option<Broken>,
}

impl Conn {
    pub(crate) fn new(socket: SocketKey, server: usize, options: &HttpOptions) -> Conn {
        Conn {
            socket,
            server,
            number: 1,
            last: match options.max_requests {
                0 => MOST_EXCHANGES,
                most => most.min(MOST_EXCHANGES),
            },
            decoder: RequestDecoder::new(options.limits),
            encoder: Encoder::new(),
            rest: Vec::new(),
            phase: Phase::Idle,
            reading: Reading::Flowing,
            full: false,
            held: false,
            counted: options.counted,
            out_before: 0,
            clocks: Clocks::default(),
            request: Request {
                answering: Answering::default(),
                is_connect: false,
                length: None,
                since: 0,
            },
            body: Body::Read,
            reply: Reply::Unclaimed,
            status: 0,
            bytes: 0,
            handler: None,
            body_pipe: None,
            reply_pipe: None,
            owed: Vec::new(),
        }
    }

    /// The key of the exchange that it is in, or of the next one.
    #[inline]
    pub(crate) fn key(&self, at: usize) -> ExchangeKey {
        ExchangeKey::new(self.socket, at, self.number)
    }

    /// Whether the key names the exchange that it is in.
    #[inline]
    pub(crate) fn is_in(&self, key: ExchangeKey) -> bool {
        self.phase == Phase::Handling && self.number == key.number() && self.socket == key.socket
    }

    /// Whether the clock of its next request runs. While answers wait, that of writes does.
    #[inline]
    pub(crate) fn waits_for_request(&self) -> bool {
        self.phase == Phase::Idle && !self.full && !self.held
    }

    /// Whether a dispatch has something to tell.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        !self.owed.is_empty() || self.owes_end()
    }

    /// Whether the body was read, and somebody came too late to see its end.
    #[inline]
    pub(crate) fn owes_end(&self) -> bool {
        let late =
            self.body == Body::EndOwed || (self.body == Body::Read && self.body_pipe.is_some());
        late && self.phase == Phase::Handling
    }

    /// What its exchange leaves to be told goes to what is owed.
    #[inline(always)]
    pub(crate) fn leave(&mut self, broken: Option<Broken>) {
        if self.handler.is_some() || self.body_pipe.is_some() || self.reply_pipe.is_some() {
            self.owe(broken);
        }
    }

    #[inline(never)]
    fn owe(&mut self, broken: Option<Broken>) {
        self.owed.push(Over {
            handler: self.handler.take(),
            body_pipe: self.body_pipe.take(),
            reply_pipe: self.reply_pipe.take(),
            broken,
        });
    }

    /// What `why_alive` says.
    pub(crate) fn describe(&self) -> String {
        let phase = match self.phase {
            Phase::Idle if self.held => "asked too often",
            Phase::Idle if self.number == 1 => "no request yet",
            Phase::Idle => "idle",
            Phase::Head => "in a head",
            Phase::Handling if !self.reply.has_begun() => "not answered yet",
            Phase::Handling => "answering",
            Phase::Discarding(_) => "dropping a body",
            Phase::Closing(_) | Phase::Ending(_) | Phase::Draining | Phase::Broken(_) => "closing",
        };
        format!("request {}, {phase}", self.number)
    }
}
