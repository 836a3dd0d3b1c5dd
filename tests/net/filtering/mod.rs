//! Filters that speak first, keep bytes, end, leave, and stand on each other. Plain changes of
//! bytes are in `transfer/filter.rs`.

mod delivery;
mod gate;
mod kept;
mod line;
mod refused;
mod stacked;

use tidegate::net::{Filter, FilterError, Held, Passed};

pub(crate) type Done = Result<(), FilterError>;

/// A protocol like TLS: the client says HELLO and the server hello, then come records of
/// `[length][bytes, each xor a key]`. One of length 0 is the end.
pub(crate) struct Lock {
    key: u8,
    client: bool,
    pub(crate) ready: bool,
    ended: bool,
    partial: Vec<u8>,
}

impl Lock {
    pub(crate) fn client(key: u8) -> Lock {
        Lock { key, client: true, ready: false, ended: false, partial: Vec::new() }
    }

    pub(crate) fn server(key: u8) -> Lock {
        Lock { client: false, ..Lock::client(key) }
    }

    fn handshake(&mut self, out: &mut Passed) -> Done {
        if self.ready || self.partial.len() < 5 {
            return Ok(());
        }
        let (theirs, ours) =
            if self.client { (b"hello", &b""[..]) } else { (b"HELLO", &b"hello"[..]) };
        if &self.partial[..5] != theirs {
            out.down.extend(b"alert");
            return Err("no hello".into());
        }
        self.partial.drain(..5);
        out.down.extend(ours);
        self.ready = true;
        out.ready();
        Ok(())
    }
}

impl Filter for Lock {
    fn start(&mut self, out: &mut Passed) -> Done {
        if self.client {
            out.down.extend(b"HELLO");
        }
        Ok(())
    }

    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        assert!(!self.ended, "bytes after the end");
        self.partial.extend_from_slice(wire);
        self.handshake(out)?;
        let mut at = 0;
        while self.ready {
            let Some(len) = self.partial.get(at).map(|n| usize::from(*n)) else { break };
            let Some(bytes) = self.partial.get(at + 1..at + 1 + len) else { break };
            out.up.extend(bytes.iter().map(|b| b ^ self.key));
            at += 1 + len;
            if len == 0 {
                self.ended = true;
                out.end();
                break;
            }
        }
        self.partial.drain(..at);
        Ok(())
    }

    fn inbound_end(&mut self, _: &mut Passed) -> Done {
        Err("truncated".into())
    }

    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        assert!(self.ready);
        for record in user.chunks(255) {
            out.down.push(record.len() as u8);
            out.down.extend(record.iter().map(|b| b ^ self.key));
        }
        Ok(user.len())
    }

    fn close(&mut self, out: &mut Passed) -> Done {
        assert!(self.ready);
        out.down.push(0);
        Ok(())
    }

    fn held(&self) -> Held {
        Held { user: 0, wire: self.partial.len() }
    }

    fn describe(&self) -> String {
        "lock".into()
    }
}

/// A header `[length][address]` before everything else, as of the PROXY protocol. The client
/// sends it, the server takes it; then it is out of the way.
pub(crate) struct Proxy {
    header: Option<&'static [u8]>,
    partial: Vec<u8>,
}

impl Proxy {
    pub(crate) fn client(address: &'static [u8]) -> Proxy {
        Proxy { header: Some(address), partial: Vec::new() }
    }

    pub(crate) fn server() -> Proxy {
        Proxy { header: None, partial: Vec::new() }
    }
}

impl Filter for Proxy {
    fn start(&mut self, out: &mut Passed) -> Done {
        if let Some(address) = self.header {
            out.down.push(address.len() as u8);
            out.down.extend(address);
            out.leave();
        }
        Ok(())
    }

    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        self.partial.extend_from_slice(wire);
        let end = self.partial.first().map_or(1, |n| 1 + usize::from(*n));
        if self.partial.len() >= end {
            out.up.extend(self.partial.drain(end..));
            out.leave();
        }
        Ok(())
    }

    fn outbound(&mut self, _: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Err("it is never ready: it leaves".into())
    }

    fn held(&self) -> Held {
        Held { user: 0, wire: self.partial.len() }
    }
}

/// What a [`Lock`] makes of these bytes.
pub(crate) fn locked(key: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in bytes.chunks(255) {
        out.push(record.len() as u8);
        out.extend(record.iter().map(|b| b ^ key));
    }
    out
}
