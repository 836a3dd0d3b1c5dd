//! The server's side: each stream is echoed. What cannot be written yet is not read, so the window
//! of the stream holds the peer back.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{Connection, ConnectionHandle, Dir, Event, StreamEvent, StreamId, WriteError};

use crate::endpoint::App;

/// A stream whose echo is not finished.
#[derive(Default)]
struct Pending {
    /// What was read and is not written: one chunk.
    chunk: Bytes,
    /// Everything was read.
    is_read: bool,
}

#[derive(Default)]
pub(crate) struct Echo {
    streams: HashMap<(ConnectionHandle, StreamId), Pending>,
    /// The server ends with its last connection.
    ends: bool,
}

impl Echo {
    /// It ends with its last connection.
    pub(crate) fn once() -> Echo {
        Echo { ends: true, ..Echo::default() }
    }

    /// Reads and writes as far as both go.
    fn echo(&mut self, c: &mut Connection, id: ConnectionHandle, stream: StreamId) {
        let key = (id, stream);
        let Some(pending) = self.streams.get_mut(&key) else { return };
        while go_on(c, stream, pending) {}
        if pending.is_read && pending.chunk.is_empty() {
            // An error: the peer wants no more of it.
            let _ = c.send_stream(stream).finish();
            self.streams.remove(&key);
        }
    }
}

/// One step; whether another may follow.
fn go_on(c: &mut Connection, stream: StreamId, pending: &mut Pending) -> bool {
    if !pending.chunk.is_empty() {
        return match c.send_stream(stream).write(&pending.chunk) {
            Ok(n) => {
                drop(pending.chunk.split_to(n));
                true
            }
            Err(WriteError::Blocked) => false,
            // The peer stopped it: what it still sends is read and dropped.
            Err(_) => {
                pending.chunk.clear();
                true
            }
        };
    }
    if pending.is_read {
        return false;
    }
    let mut receive = c.recv_stream(stream);
    let Ok(mut chunks) = receive.read(true) else {
        pending.is_read = true;
        return false;
    };
    let next = chunks.next(64 * 1024);
    // Whether a window must be told is seen by the next poll.
    let _ = chunks.finalize();
    match next {
        Ok(Some(chunk)) => pending.chunk = chunk.bytes,
        Ok(None) | Err(quinn_proto::ReadError::Reset(_)) => pending.is_read = true,
        Err(quinn_proto::ReadError::Blocked) => return false,
    }
    true
}

impl App for Echo {
    fn on_event(&mut self, c: &mut Connection, id: ConnectionHandle, event: Event, _: Instant) {
        match event {
            Event::Connected => println!("server: {} is connected", c.remote_address()),
            Event::ConnectionLost { reason } => println!("server: {reason}"),
            Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                while let Some(stream) = c.streams().accept(Dir::Bi) {
                    self.streams.insert((id, stream), Pending::default());
                    self.echo(c, id, stream);
                }
            }
            Event::Stream(
                StreamEvent::Readable { id: stream }
                | StreamEvent::Writable { id: stream }
                | StreamEvent::Stopped { id: stream, .. },
            ) => self.echo(c, id, stream),
            _ => {}
        }
    }

    fn on_end(&mut self, id: ConnectionHandle, left: usize) -> bool {
        self.streams.retain(|(of, _), _| *of != id);
        self.ends && left == 0
    }
}
