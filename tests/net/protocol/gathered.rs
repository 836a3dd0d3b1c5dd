//! `write_gathered`: several pieces in one call of the kernel's, what it refuses is queued.

use std::net::Shutdown;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tidegate::net::{Chunk, Filter, FilterError, Passed};
use tidegate::prelude::*;

use crate::support::*;

#[test]
fn pieces_arrive_in_order_whatever_the_kernel_takes() {
    for (pieces, len) in [(0, 0), (1, 10), (3, 5), (64, 7), (65, 100), (200, 1000), (300, 100_000)]
    {
        let mut lp = guarded();
        let (peer, ours) = pair();
        let key = lp.adopt(ours, On::new()).unwrap();
        let all: Vec<Vec<u8>> = (0..pieces).map(|i| vec![i as u8; len + i]).collect();
        let chunk = |(i, p): (usize, &Vec<u8>)| match i % 3 {
            0 => Chunk::Shared(Bytes::from(p.clone())),
            1 => Chunk::Shared(Bytes::new()),
            _ => Chunk::Shared(Bytes::copy_from_slice(p)),
        };
        let shared: Vec<Chunk<'_>> = all.iter().enumerate().map(chunk).collect();
        let lent: Vec<Chunk<'_>> = all.iter().map(Chunk::from).collect();
        let expected: Vec<u8> =
            shared.iter().chain(&lent).flat_map(|c| c.bytes().to_vec()).collect();
        let first = lp.socket(key).write_gathered(&shared);
        let second = lp.socket(key).write_gathered(&lent);
        match lp.socket(key).buffered() {
            0 => assert_eq!((first, second), (Flow::Ready, Flow::Ready)),
            queued => assert!(queued > 100_000 && second == Flow::Full, "{queued}: {second:?}"),
        }
        lp.socket(key).end();
        peer.shutdown(Shutdown::Write).unwrap();
        let reader = thread::spawn(move || read_to_end(&peer));
        lp.run().unwrap();
        assert!(reader.join().unwrap() == expected, "{pieces} pieces");
        assert_eq!(lp.socket(key).write_gathered(&lent), Flow::Closed);
    }
}

/// What is queued of a shared piece is the piece itself: one memory for many connections.
#[test]
fn shared_pieces_are_not_copied() {
    struct Counted(Vec<u8>, #[expect(dead_code, reason = "its drop is counted")] Arc<()>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new().close(|_, _| {})).unwrap();
    let alive = Arc::new(());
    let piece = Bytes::from_owner(Counted(vec![1; 8 << 20], alive.clone()));
    let _ = lp.socket(key).write_gathered(&["head".into(), piece.into(), "tail".into()]);
    assert_eq!(Arc::strong_count(&alive), 2, "the queue has it");
    let held = lp.socket(key).memory_held();
    assert!(held <= (8 << 20) + (32 << 10), "{held}");
    drop(peer);
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn pieces_go_through_a_filter() {
    struct Flip;
    impl Filter for Flip {
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
            out.up.extend_from_slice(wire);
            Ok(())
        }
        fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            out.down.extend(user.iter().map(|b| !b));
            Ok(user.len())
        }
    }
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    lp.socket(key).set_filter(Flip);
    let _ = lp.socket(key).write_gathered(&["high ".into(), "water".into()]);
    lp.socket(key).end();
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    let flipped: Vec<u8> = b"high water".iter().map(|b| !b).collect();
    assert_eq!(read_to_end(&peer), flipped);
}
