//! [`Conn`]: one connection of a server, and the exchange that it is in.
//!
//! | phase | event | next |
//! |---|---|---|
//! | Idle | a part of a head | Head |
//! | Idle, Head | a head | Handling |
//! | Handling | the response is written, the body read | Idle, or Closing |
//! | Handling | the response is written, nobody wants the rest of the body | Discarding |
//! | Discarding | the body is over | Idle, or Closing |
//! | Discarding | too much of it | Closing |
//! | any | a refusal | Closing |
//! | Handling | a reset | Broken |
#![forbid(unsafe_code)]

use tidegate_net::SocketKey;
use tidegate_stream::PipeKey;

use crate::callbacks::handler::{Broken, ExchangeHandler};
use crate::codec::{Answering, Encoder, RequestDecoder};
use crate::exchange::key::ExchangeKey;
use crate::message::limits::Limits;
use crate::message::refusal::Refusal;

/// So much of a body that nobody wants is read, so that the connection can go on.
pub(crate) const DISCARDED: u64 = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Idle,
    Head,
    Handling,
    /// So much more may be dropped.
    Discarding(u64),
    /// Our side ends: nothing is read any more.
    Closing,
    /// It was reset inside of an exchange; its close is to come.
    Broken,
}

/// The request's body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// Nobody asked for it yet.
    No,
    Yes,
    /// Not now.
    Paused,
    /// All of it was read.
    Done,
}

/// The response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    No,
    Begun,
    Done,
}

pub(crate) struct Conn {
    pub(crate) socket: SocketKey,
    /// The place of its server.
    pub(crate) server: usize,
    /// Of the exchange that it is in, or of the next one. From 1 on.
    pub(crate) number: u64,
    pub(crate) decoder: RequestDecoder,
    pub(crate) encoder: Encoder,
    /// The beginning of a head or of trailers.
    pub(crate) rest: Vec<u8>,
    pub(crate) phase: Phase,
    pub(crate) body: Wanted,
    pub(crate) reply: Reply,
    pub(crate) answering: Answering,
    pub(crate) status: u16,
    /// Bytes of the response's body.
    pub(crate) bytes: u64,
    /// Bytes of the request's body that are to come, if that is known.
    pub(crate) length: Option<u64>,
    /// When the exchange began, in the loop's nanoseconds.
    pub(crate) since: u64,
    /// Bytes that were out when its writes stalled.
    pub(crate) out_before: u64,
    /// The connection lives on after this response.
    pub(crate) goes_on: bool,
    /// Somebody will answer.
    pub(crate) claimed: bool,
    /// The request is a CONNECT.
    pub(crate) connect: bool,
    /// The client waits for the status 100.
    pub(crate) expects: bool,
    /// A write returned `Full`, and no drain came yet.
    pub(crate) full: bool,
    /// The client asked too often: its next request waits.
    pub(crate) held: bool,
    /// Reading is paused, because bytes came that cannot be used yet, or because a user wants it.
    pub(crate) paused: bool,
    /// The peer has ended.
    pub(crate) ended: bool,
    /// Its server shuts down.
    pub(crate) shutting: bool,
    /// The timer of the whole request runs.
    pub(crate) timed: bool,
    /// Nothing of the peer's is left unread, as far as is known.
    pub(crate) clean: bool,
    /// The end of the request is to be told to a handler that came after it.
    pub(crate) owes_end: bool,
    /// Why the rest of its request was refused, after its response had begun.
    pub(crate) refused: Option<Refusal>,
    pub(crate) handler: Option<Box<dyn ExchangeHandler>>,
    /// Where the body goes, and where the response comes from.
    pub(crate) body_pipe: Option<PipeKey>,
    pub(crate) reply_pipe: Option<PipeKey>,
    /// Of an exchange that is over: who is to be told, by a dispatch.
    pub(crate) over: Option<Box<Over>>,
}

/// What an exchange that is over still has to tell.
#[derive(Default)]
pub(crate) struct Over {
    pub(crate) handler: Option<Box<dyn ExchangeHandler>>,
    pub(crate) body_pipe: Option<PipeKey>,
    pub(crate) reply_pipe: Option<PipeKey>,
    pub(crate) broken: Option<Broken>,
}

impl Conn {
    pub(crate) fn new(socket: SocketKey, server: usize, limits: Limits) -> Conn {
        Conn {
            socket,
            server,
            number: 1,
            decoder: RequestDecoder::new(limits),
            encoder: Encoder::new(),
            rest: Vec::new(),
            phase: Phase::Idle,
            body: Wanted::Done,
            reply: Reply::No,
            answering: Answering::default(),
            status: 0,
            bytes: 0,
            length: None,
            since: 0,
            out_before: 0,
            goes_on: true,
            claimed: false,
            connect: false,
            expects: false,
            full: false,
            held: false,
            paused: false,
            ended: false,
            shutting: false,
            timed: false,
            clean: true,
            owes_end: false,
            refused: None,
            handler: None,
            body_pipe: None,
            reply_pipe: None,
            over: None,
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

    /// Whether a dispatch has something to tell.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        self.over.is_some() || self.owes_end
    }

    /// What `why_alive` says.
    pub(crate) fn describe(&self) -> String {
        let phase = match self.phase {
            Phase::Idle if self.number == 1 => "no request yet",
            Phase::Idle => "idle",
            Phase::Head => "in a head",
            Phase::Handling if self.reply == Reply::No => "not answered yet",
            Phase::Handling => "answering",
            Phase::Discarding(_) => "dropping a body",
            Phase::Closing | Phase::Broken => "closing",
        };
        format!("request {}, {phase}", self.number)
    }
}
