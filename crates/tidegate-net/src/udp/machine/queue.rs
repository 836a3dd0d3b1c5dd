//! [`Queue`]: datagrams that wait to be sent, in one piece of memory.
//!
//! Datagrams that follow each other lie side by side, so a run of equal ones to one address can
//! leave in one call without a copy. How it leaves is in `flush.rs`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Where a datagram goes, and what is said with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Way {
    /// `None`: to the peer that the socket is connected to.
    pub(crate) to: Option<SocketAddr>,
    pub(crate) from: Option<IpAddr>,
    pub(crate) interface: Option<u32>,
    pub(crate) ecn: Option<u8>,
}

/// A datagram that waits, without its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) len: usize,
    pub(crate) way: Way,
    /// What the user named it.
    pub(crate) id: Option<u64>,
}

/// Memory beyond this is given back when the queue is empty.
const KEPT: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    /// Where the first one begins.
    head: usize,
    entries: VecDeque<Entry>,
}

impl Queue {
    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Datagrams that wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What counts to limits: the bytes, and the room of the entries. A queue of empty datagrams
    /// has a limit, too.
    pub(crate) fn weight(&self) -> usize {
        self.bytes() + self.len() * size_of::<Entry>()
    }

    /// What one more would add to [`weight`](Queue::weight).
    pub(crate) fn weight_of(len: usize) -> usize {
        len + size_of::<Entry>()
    }

    /// One more datagram, made of these parts.
    pub(crate) fn push<'a>(
        &mut self,
        parts: impl IntoIterator<Item = &'a [u8]>,
        way: Way,
        id: Option<u64>,
    ) {
        if self.head > 0 && self.head >= self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        let before = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.entries.push_back(Entry { len: self.bytes.len() - before, way, id });
    }

    /// These parts, cut into datagrams. The id is that of the last.
    pub(crate) fn push_pieces(&mut self, parts: &[&[u8]], piece: u16, way: Way, id: Option<u64>) {
        let whole: Vec<u8>;
        let data = match parts {
            [one] => one,
            _ => {
                whole = parts.concat();
                &whole[..]
            }
        };
        let mut pieces = data.chunks(usize::from(piece).max(1)).peekable();
        while let Some(piece) = pieces.next() {
            self.push([piece], way, id.filter(|_| pieces.peek().is_none()));
        }
        if data.is_empty() {
            self.push([data], way, id);
        }
    }

    /// Takes the first out: it was sent, or given up.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.head += entry.len;
        if self.entries.is_empty() {
            self.bytes.clear();
            self.head = 0;
            self.bytes.shrink_to(KEPT);
            self.entries.shrink_to(KEPT / size_of::<Entry>());
        }
        Some(entry)
    }

    /// What waits without a destination goes to this one.
    pub(crate) fn address(&mut self, to: SocketAddr) {
        for entry in self.entries.iter_mut().filter(|e| e.way.to.is_none()) {
            entry.way.to = Some(to);
        }
    }

    pub(crate) fn entry(&self, at: usize) -> Option<&Entry> {
        self.entries.get(at)
    }

    /// Bytes from this offset on, counted from the first datagram.
    pub(crate) fn slice(&self, from: usize, len: usize) -> &[u8] {
        &self.bytes[self.head + from..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain list of vectors.
        #[test]
        fn it_is_a_queue_of_datagrams(
            steps in prop::collection::vec(
                prop::option::weighted(0.6, prop::collection::vec(any::<u8>(), 0..40)), 0..200),
        ) {
            let (mut queue, mut model) = (Queue::default(), VecDeque::<Vec<u8>>::new());
            for step in steps {
                match step {
                    Some(data) => {
                        let (a, b) = data.split_at(data.len() / 2);
                        queue.push([a, b], Way::default(), Some(data.len() as u64));
                        model.push_back(data);
                    }
                    None => {
                        let popped = queue.pop().map(|e| e.len);
                        prop_assert_eq!(popped, model.pop_front().map(|d| d.len()));
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.bytes(), model.iter().map(Vec::len).sum::<usize>());
                let mut from = 0;
                for (i, data) in model.iter().enumerate() {
                    prop_assert_eq!(queue.entry(i).unwrap().len, data.len());
                    prop_assert_eq!(queue.slice(from, data.len()), &data[..]);
                    from += data.len();
                }
            }
        }
    }

    #[test]
    fn memory_of_a_long_queue_is_given_back() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.push([&[0; 60_000][..]], Way::default(), None);
        }
        while queue.pop().is_some() {}
        assert!(queue.bytes.capacity() <= 2 * KEPT, "{}", queue.bytes.capacity());
    }
}
