//! Connections as ends of pipes.
//!
//! As a source a connection hands on what it reads while the bytes are still in the loop's
//! read buffer; as a sink it passes them to the kernel from there. Only what the kernel
//! refuses is kept, and then the source waits until all of it is out.
#![forbid(unsafe_code)]

use bytes::Bytes;
use tidegate_loop::Cx;
use tidegate_loop::kind::Handle;
use tidegate_stream::{Chunk, Flow, PipeKey, ReadEnd, ReadState, StreamError, WriteEnd};

use crate::error::close::Reason;
use crate::event::SocketEvent;
use crate::key::SocketKey;
use crate::socket::write::Admitted;
use crate::state::layer::{Crowded, NET, Shared};
use crate::state::socket::{Life, Socket};
use crate::state::wire::Wire;

/// Why a connection that is over cannot be attached.
fn over(cx: &mut Cx<'_>, key: SocketKey) -> StreamError {
    let (layer, d) = cx.layer(&NET);
    let reason = layer.socket(&d, key).and_then(|s| s.duplex.outcome());
    reason.and_then(|r| r.result().err()).unwrap_or(StreamError::Closed)
}

fn open<R>(
    cx: &mut Cx<'_>,
    key: SocketKey,
    f: impl FnOnce(&mut Socket, &mut Handle<'_>, &mut Shared) -> R,
) -> Option<R> {
    let (layer, mut d) = cx.layer(&NET);
    if !layer.socket(&d, key)?.duplex.is_open() {
        return None;
    }
    layer.with(&mut d, key, f)
}

impl ReadEnd for SocketKey {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError> {
        let attached = open(cx, *self, |s, h, _| {
            if s.duplex.read == ReadState::Ended {
                return Err(StreamError::Closed);
            }
            let into = &mut s.pipes_mut().into;
            if into.is_some() {
                return Err(StreamError::Piped);
            }
            *into = Some(pipe);
            s.steer_reads();
            s.tell(h, || SocketEvent::PipedInto { pipe });
            s.resume(h);
            Ok(())
        });
        attached.unwrap_or_else(|| Err(over(cx, *self)))
    }

    fn pause(&self, cx: &mut Cx<'_>) {
        let (layer, mut d) = cx.layer(&NET);
        layer.with(&mut d, *self, |s, h, _| s.pause(h));
    }

    fn resume(&self, cx: &mut Cx<'_>) {
        open(cx, *self, |s, h, _| s.resume(h));
    }

    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        let reason = Reason::Piped(cause.clone());
        open(cx, *self, |s, h, _| s.destroy(h, reason));
    }
}

impl WriteEnd for SocketKey {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<Flow, StreamError> {
        let attached = open(cx, *self, |s, h, _| {
            if !s.duplex.write.is_open() {
                return Err(StreamError::Closed);
            }
            let from = &mut s.pipes_mut().from;
            if from.is_some() {
                return Err(StreamError::Piped);
            }
            *from = Some(pipe);
            s.tell(h, || SocketEvent::PipedFrom { pipe });
            Ok(if s.duplex.write.needs_drain() { Flow::Full } else { Flow::Ready })
        });
        attached.unwrap_or_else(|| Err(over(cx, *self)))
    }

    fn try_write(&self, cx: &mut Cx<'_>, data: &[u8]) -> usize {
        let taken = open(cx, *self, |s, h, _| match s.wire {
            Wire::Plain if s.duplex.write.is_open() => s.offer(h, data).unwrap_or(0),
            _ => 0,
        });
        taken.unwrap_or(0)
    }

    fn write(&self, cx: &mut Cx<'_>, data: Bytes) -> Flow {
        let flow = open(cx, *self, |s, h, shared| {
            if matches!(s.wire, Wire::Filter(_)) {
                return s.write(h, shared, Chunk::Shared(data));
            }
            let admitted = s.admit(h, shared);
            if admitted == Admitted::No {
                return Flow::Closed;
            }
            if admitted == Admitted::Crowded && !data.is_empty() {
                shared.crowded = Crowded::Write;
            }
            s.duplex.write.push_whole(data);
            s.tell_queued(h);
            if s.life == Life::Connecting && admitted == Admitted::Yes {
                // Nobody refused anything yet.
                return match s.duplex.write.flow() {
                    Flow::Full => s.duplex.write.stop(),
                    flow => flow,
                };
            }
            s.await_writable(h);
            s.full(h)
        });
        flow.unwrap_or(Flow::Closed)
    }

    fn end(&self, cx: &mut Cx<'_>) {
        let (layer, mut d) = cx.layer(&NET);
        layer.with(&mut d, *self, |s, h, shared| s.end_and_tell(h, shared));
    }

    fn destroy(&self, cx: &mut Cx<'_>, cause: &StreamError) {
        let reason = Reason::Piped(cause.clone());
        open(cx, *self, |s, h, _| s.destroy(h, reason));
    }
}
