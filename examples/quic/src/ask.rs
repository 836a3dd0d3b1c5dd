//! The client of the demonstration: it sends bytes on a stream, compares what comes back, and closes
//! the connection.
#![forbid(unsafe_code)]

use std::time::Instant;

use quinn_proto::{
    Connection, ConnectionHandle, Dir, Event, ReadError, StreamEvent, StreamId, VarInt,
};

use crate::endpoint::App;

pub(crate) struct Ask {
    stream: Option<StreamId>,
    bytes: usize,
    sent: usize,
    received: usize,
    begin: Instant,
}

/// The byte at this place.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

impl Ask {
    pub(crate) fn new(bytes: usize) -> Ask {
        Ask { stream: None, bytes, sent: 0, received: 0, begin: Instant::now() }
    }

    fn write(&mut self, c: &mut Connection, stream: StreamId) {
        while self.sent < self.bytes {
            let n = (self.bytes - self.sent).min(64 * 1024);
            let data: Vec<u8> = (self.sent..self.sent + n).map(byte).collect();
            match c.send_stream(stream).write(&data) {
                Ok(n) => self.sent += n,
                // `Writable` comes.
                Err(_) => return,
            }
            if self.sent == self.bytes {
                let _ = c.send_stream(stream).finish();
            }
        }
    }

    fn read(&mut self, c: &mut Connection, stream: StreamId, now: Instant) {
        let mut receive = c.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else { return };
        let end = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    let expected = (self.received..).map(byte);
                    let is_same = chunk.bytes.iter().zip(expected).all(|(got, sent)| *got == sent);
                    assert!(is_same, "other bytes come back, from {} on", self.received);
                    self.received += chunk.bytes.len();
                }
                other => break other,
            }
        };
        let _ = chunks.finalize();
        match end {
            Err(ReadError::Blocked) => {}
            Ok(_) => {
                let ms = self.begin.elapsed().as_millis();
                println!("client: {} bytes came back in {ms} ms", self.received);
                c.close(now, VarInt::from_u32(0), "thank you".into());
            }
            Err(e) => println!("client: {e}"),
        }
    }
}

impl App for Ask {
    fn on_event(&mut self, c: &mut Connection, _: ConnectionHandle, event: Event, now: Instant) {
        match event {
            Event::Connected => {
                let rtt = c.rtt().as_micros();
                println!("client: connected to {}, round trip {rtt} us", c.remote_address());
                self.stream = c.streams().open(Dir::Bi);
                self.stream.into_iter().for_each(|stream| self.write(c, stream));
            }
            Event::Stream(StreamEvent::Readable { id }) => self.read(c, id, now),
            Event::Stream(StreamEvent::Writable { id }) => self.write(c, id),
            Event::ConnectionLost { reason } => println!("client: {reason}"),
            _ => {}
        }
    }

    fn on_end(&mut self, _: ConnectionHandle, _: usize) -> bool {
        true
    }
}
