//! A flush against a system that refuses at will: nothing is lost, skipped or sent twice.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use proptest::prelude::*;

use crate::sys::udp::{Outgoing, SEGMENT_MOST};
use crate::udp::machine::flush::{Did, Outlet, Segments, Stop, flush, straight};
use crate::udp::machine::queue::{Entry, Queue, Way};

/// What the system does next.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Takes at most so many of the messages.
    Take(usize),
    Fail(i32),
}

/// A system with a plan. Without a plan it takes everything.
#[derive(Default)]
struct Fake {
    plan: VecDeque<Act>,
    /// This destination never works.
    dead: Option<SocketAddr>,
    /// What goes there is invalid, cut or not.
    invalid: Option<SocketAddr>,
    /// Cuts no runs, or none with longer pieces.
    cuts: Option<u16>,
    on_the_wire: Vec<(Option<SocketAddr>, Vec<u8>)>,
    done: Vec<(u64, Result<(), i32>)>,
    earlier: usize,
}

impl Fake {
    fn take(&mut self, out: &Outgoing<'_>) -> io::Result<()> {
        let failed = |code| Err(io::Error::from_raw_os_error(code));
        if self.dead.is_some() && out.to == self.dead {
            return failed(libc::EPERM);
        }
        if self.invalid.is_some() && out.to == self.invalid {
            return failed(libc::EINVAL);
        }
        match (out.segment, self.cuts) {
            (Some(_), Some(0)) => return failed(libc::EIO),
            (Some(len), Some(most)) if len > most => return failed(libc::EINVAL),
            _ => {}
        }
        match out.segment {
            Some(len) => {
                for piece in out.data.chunks(len.into()) {
                    self.on_the_wire.push((out.to, piece.to_vec()));
                }
            }
            None => self.on_the_wire.push((out.to, out.data.to_vec())),
        }
        Ok(())
    }
}

impl Outlet for Fake {
    fn send(&mut self, out: &Outgoing<'_>) -> io::Result<()> {
        match self.plan.pop_front() {
            Some(Act::Fail(code)) => Err(io::Error::from_raw_os_error(code)),
            _ => self.take(out),
        }
    }

    fn send_many(&mut self, all: &[Outgoing<'_>]) -> io::Result<usize> {
        let most = match self.plan.pop_front() {
            Some(Act::Fail(code)) => return Err(io::Error::from_raw_os_error(code)),
            Some(Act::Take(n)) => n.max(1),
            None => all.len(),
        };
        for (i, out) in all.iter().take(most).enumerate() {
            match self.take(out) {
                Ok(()) => {}
                Err(e) if i == 0 => return Err(e),
                Err(_) => return Ok(i),
            }
        }
        Ok(all.len().min(most))
    }

    fn done(&mut self, entry: Entry, result: io::Result<()>) {
        let code = result.map_err(|e| e.raw_os_error().unwrap());
        self.done.push((entry.id.unwrap_or(u64::MAX), code));
    }

    fn run_done(&mut self, datagrams: usize, _: usize, id: Option<u64>) {
        self.done.extend((1..datagrams).map(|_| (u64::MAX, Ok(()))));
        self.done.push((id.unwrap_or(u64::MAX), Ok(())));
    }

    fn earlier(&mut self, _: io::Error) {
        self.earlier += 1;
    }
}

fn to(port: u16) -> Option<SocketAddr> {
    Some(([127, 0, 0, 1], port).into())
}

fn queue_of(datagrams: &[(u16, Vec<u8>)]) -> Queue {
    let mut queue = Queue::default();
    for (i, (port, data)) in datagrams.iter().enumerate() {
        let way = Way { to: to(*port), ..Way::default() };
        queue.push([&data[..]], way, Some(i as u64));
    }
    queue
}

/// Flushes until nothing is left; a blocked one is called again, as the poller would.
fn run(queue: &mut Queue, fake: &mut Fake, budget: usize) -> (Vec<Stop>, Did) {
    let (mut segments, mut stops, mut all) = (Segments::default(), Vec::new(), Did::default());
    for _ in 0..100_000 {
        let before = queue.len();
        let (stop, did) = flush(queue, &mut segments, budget, fake);
        assert!(before - queue.len() <= budget);
        all.calls += did.calls;
        all.runs += did.runs;
        all.taken += did.taken;
        stops.push(stop);
        if stop == Stop::Empty {
            return (stops, all);
        }
    }
    panic!("it never ends: {stops:?}");
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let codes = [
        libc::EAGAIN,
        libc::ENOBUFS,
        libc::EINTR,
        libc::EIO,
        libc::EINVAL,
        libc::ECONNREFUSED,
        libc::EHOSTUNREACH,
        libc::EMSGSIZE,
    ];
    let act = prop_oneof![
        (1usize..8).prop_map(Act::Take),
        prop::sample::select(codes.to_vec()).prop_map(Act::Fail),
    ];
    prop::collection::vec(act, 0..40)
}

proptest! {
    /// Partial batches, no buffers, no room, no cutting, old errors: each datagram is answered
    /// once, in order, and what was answered well is on the wire once, in order.
    #[test]
    fn every_datagram_is_answered_once_and_in_order(
        datagrams in prop::collection::vec(
            (1u16..4, prop_oneof![
                Just(vec![7u8; 20]), Just(vec![8u8; 20]), prop::collection::vec(any::<u8>(), 0..30)
            ]), 0..150),
        plan in acts(),
        cuts in prop_oneof![Just(None), Just(Some(0u16)), Just(Some(10))],
        dead in prop_oneof![Just(None), Just(to(2))],
        budget in 1usize..100,
    ) {
        let mut queue = queue_of(&datagrams);
        let mut fake = Fake { plan: plan.into(), cuts, dead, ..Fake::default() };
        run(&mut queue, &mut fake, budget);
        let ids: Vec<u64> = fake.done.iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(ids, (0..datagrams.len() as u64).collect::<Vec<_>>());
        let sent: Vec<_> = fake.done.iter().filter(|(_, r)| r.is_ok())
            .map(|(id, _)| &datagrams[*id as usize])
            .map(|(port, data)| (to(*port), data.clone())).collect();
        prop_assert_eq!(&fake.on_the_wire, &sent);
        if dead.is_some() {
            let wrong = fake.done.iter()
                .any(|(id, r)| to(datagrams[*id as usize].0) == dead && r.is_ok());
            prop_assert!(!wrong);
        }
    }
}

proptest! {
    /// A buffer that leaves from where it lies, and by the queue when the system refuses: the same
    /// datagrams, each answered once.
    #[test]
    fn a_buffer_in_pieces_leaves_whole_and_in_order(
        data in prop::collection::vec(any::<u8>(), 2..4000),
        piece in prop_oneof![1u16..50, 1u16..1500],
        plan in acts(),
        cuts in prop_oneof![Just(None), Just(Some(0u16)), Just(Some(10))],
    ) {
        let expected: Vec<_> = data.chunks(piece.into()).map(|d| (to(1), d.to_vec())).collect();
        let way = Way { to: to(1), ..Way::default() };
        let mut fake = Fake { plan: plan.into(), cuts, ..Fake::default() };
        let (rest, did) = straight(&data, piece, (way, Some(7)), Segments::default(), &mut fake);
        prop_assert_eq!(did.taken as usize, fake.done.len());
        let mut queue = Queue::default();
        if !rest.is_empty() {
            queue.push_pieces(&[rest], piece, way, Some(7));
        }
        run(&mut queue, &mut fake, 1000);
        prop_assert_eq!(fake.done.len(), expected.len());
        let named = fake.done.iter().filter(|(id, _)| *id == 7).count();
        prop_assert_eq!((named, fake.done[expected.len() - 1].0), (1, 7));
        let sent: Vec<_> = expected.iter().zip(&fake.done)
            .filter(|(_, (_, result))| result.is_ok()).map(|(d, _)| d.clone()).collect();
        prop_assert_eq!(&fake.on_the_wire, &sent);
    }
}

/// It is tried once more: the error was about a datagram before.
#[test]
fn an_old_error_costs_no_piece() {
    let way = Way { to: to(1), ..Way::default() };
    let mut fake = Fake { plan: [Act::Fail(libc::ECONNREFUSED)].into(), ..Fake::default() };
    let data = [7; 5000];
    let segments = Segments { most: 1200 };
    let (rest, did) = straight(&data, 1000, (way, None), segments, &mut fake);
    assert_eq!((rest.len(), did.calls, did.taken, fake.earlier), (0, 2, 5, 1));
}

/// A datagram that is invalid for another reason does not end the runs of others.
#[test]
fn an_invalid_datagram_does_not_end_runs() {
    if SEGMENT_MOST == 0 {
        return;
    }
    let mut datagrams = vec![(2, vec![1; 1200]); 3];
    datagrams.extend(vec![(1, vec![2; 1200]); 20]);
    let mut fake = Fake { invalid: to(2), ..Fake::default() };
    let (_, did) = run(&mut queue_of(&datagrams), &mut fake, 1000);
    assert_eq!((did.runs, fake.on_the_wire.len()), (1, 20));
    assert_eq!(fake.done.iter().filter(|(_, r)| r.is_err()).count(), 3);
}

/// libuv#5245 skips every other datagram beyond the first 20.
#[test]
fn libuv_5245_100_datagrams_skip_nothing() {
    let datagrams: Vec<_> = (0..100u8).map(|i| (u16::from(i % 3) + 1, vec![i; 9])).collect();
    let mut fake = Fake { plan: [Act::Take(20), Act::Take(7)].into(), ..Fake::default() };
    let (stops, _) = run(&mut queue_of(&datagrams), &mut fake, 1000);
    assert_eq!(stops, [Stop::Empty]);
    let bytes: Vec<u8> = fake.on_the_wire.iter().map(|(_, d)| d[0]).collect();
    assert_eq!(bytes, (0..100).collect::<Vec<u8>>());
}

/// gotatun#170: a device without checksum offload refuses runs with EIO.
#[test]
fn a_device_that_cannot_cut_gets_the_same_uncut() {
    if SEGMENT_MOST == 0 {
        return;
    }
    let datagrams = vec![(1, vec![1; 1200]); 40];
    let mut fake = Fake { cuts: Some(0), ..Fake::default() };
    let (_, did) = run(&mut queue_of(&datagrams), &mut fake, 1000);
    assert_eq!((fake.on_the_wire.len(), did.runs, fake.earlier), (40, 0, 0));
    assert!(fake.done.iter().all(|(_, r)| r.is_ok()));
}

#[test]
fn equal_datagrams_leave_as_runs_and_the_last_may_be_shorter() {
    if SEGMENT_MOST == 0 {
        return;
    }
    let mut datagrams = vec![(1, vec![1; 1200]); 30];
    datagrams.push((1, vec![2; 100]));
    datagrams.extend(vec![(2, vec![3; 1200]); 3]);
    let mut fake = Fake::default();
    let (_, did) = run(&mut queue_of(&datagrams), &mut fake, 1000);
    assert_eq!(did, Did { calls: 1, runs: 2, taken: 34 });
    assert_eq!(fake.on_the_wire[30].1.len(), 100);
}

/// An error of the network about an earlier datagram costs the next one nothing (Bun#35923).
#[test]
fn an_old_error_costs_no_datagram() {
    let datagrams = vec![(1, vec![1; 5]), (1, vec![2; 6])];
    let mut fake = Fake { plan: [Act::Fail(libc::ECONNREFUSED)].into(), ..Fake::default() };
    run(&mut queue_of(&datagrams), &mut fake, 1000);
    assert_eq!((fake.on_the_wire.len(), fake.earlier), (2, 1));
}

/// No buffers and no room keep what waits.
#[test]
fn few_datagrams_go_one_by_one_and_a_run_is_still_one() {
    let to_each = |n: u16| (1..=n).map(|port| (port, vec![7; 20])).collect::<Vec<_>>();
    let calls = |datagrams: &[(u16, Vec<u8>)]| {
        let (_, did) = run(&mut queue_of(datagrams), &mut Fake::default(), 100);
        (did.calls, did.runs)
    };
    assert_eq!(calls(&to_each(7)), (7, 0));
    assert_eq!(calls(&to_each(8)), (1, 0));
    assert_eq!(calls(&vec![(1, vec![7; 20]); 7]), (1, 1));
}

#[test]
fn what_waits_for_room_stays() {
    for (code, stop) in [(libc::ENOBUFS, Stop::NoBuffers), (libc::EAGAIN, Stop::Blocked)] {
        let mut queue = queue_of(&[(1, vec![1; 5])]);
        let mut fake = Fake { plan: [Act::Fail(code)].into(), ..Fake::default() };
        let (stopped, _) = flush(&mut queue, &mut Segments::default(), 10, &mut fake);
        assert_eq!((stopped, queue.len(), fake.done.len()), (stop, 1, 0));
    }
}
