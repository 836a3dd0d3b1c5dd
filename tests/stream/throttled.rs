//! A stage that holds bytes back: at its rate, no byte lost, in order, and ends behind it.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tidegate::prelude::*;
use tidegate::stream::*;
use tidegate::test::Script;

use crate::pipe_ends::*;
use crate::support::*;

fn throttle(rate: Rate) -> Vec<Box<dyn Transform>> {
    vec![Box::new(Throttle::new(rate))]
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

/// Steps of the script until the pipe is over; when how many bytes were there.
fn steps(lp: &mut Loop, script: &Script, kept: &Kept, log: &Log, step: Duration) -> Vec<usize> {
    let mut seen = Vec::new();
    while log.lines().is_empty() {
        settle(lp);
        seen.push(kept.borrow().len());
        script.advance(step);
        assert!(seen.len() < 100_000);
    }
    seen
}

/// By the clock of a script: the burst at once, then what the time is worth, and the end behind the
/// last byte.
#[test]
fn at_its_rate() {
    let (mut lp, script) = scripted();
    let (from, (to, kept)) = (quiet(&mut lp), keep(&mut lp, false, 1 << 20));
    let log = Log::default();
    lp.pipeline(from, throttle(Rate::per_second(1000).burst(100)), to, done(&log)).unwrap();
    let _ = lp.readable(from).push(bytes(1000));
    lp.readable(from).push_end();
    let ms = Duration::from_millis(1);
    let seen = steps(&mut lp, &script, &kept, &log, ms);
    assert_eq!(*kept.borrow(), bytes(1000));
    assert_eq!(seen[0], 100);
    for (at, n) in seen.iter().enumerate() {
        assert!(*n <= 100 + at, "{n} bytes after {at} ms");
        // It wakes when half of a burst may pass.
        assert!(*n + 51 >= (100 + at).min(1000), "{n} bytes after {at} ms");
    }
    assert_eq!(log.lines(), ["done"]);
}

/// It wakes as often as there are pieces, not more: no loop that spins.
#[test]
fn it_sleeps_between() {
    let (mut lp, script) = scripted();
    let (from, (to, kept)) = (quiet(&mut lp), keep(&mut lp, false, 1 << 20));
    let log = Log::default();
    lp.pipeline(from, throttle(Rate::per_second(1000).burst(100)), to, done(&log)).unwrap();
    let _ = lp.readable(from).push(bytes(1000));
    lp.readable(from).push_end();
    let before = lp.metrics().turns;
    lp.run().unwrap();
    assert_eq!((kept.borrow().len(), log.lines()), (1000, vec!["done".to_owned()]));
    let turns = lp.metrics().turns - before;
    assert!(turns < 18 * 5, "{turns} turns for 18 pieces");
    assert!(script.now() >= Duration::from_millis(900));
}

/// Between two connections, in real time: within a hundredth of the rate, and the source waits in
/// the kernel, not with us.
#[test]
fn two_connections() {
    let mut lp = guarded();
    let log = Log::default();
    let (reader, to) = accepted(&mut lp, false, On::new());
    let (writer, from) = accepted(&mut lp, false, On::new());
    let (total, rate) = (600_000, Rate::per_second(1_000_000).burst(100_000));
    let pipe = lp.pipeline(from, throttle(rate), to, done(&log)).unwrap();
    let writing = std::thread::spawn(move || {
        write_all(&writer, &bytes(total));
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let reading = std::thread::spawn(move || read_to_end(&reader));
    let begin = Instant::now();
    turn_until(&mut lp, |_| !log.lines().is_empty());
    let took = begin.elapsed();
    assert_eq!(log.lines(), ["done"]);
    // Not faster; how much slower is the machine's affair.
    assert!(took >= Duration::from_millis(495), "{took:?}");
    assert!(lp.cx().validate(pipe).is_err());
    lp.close_all();
    lp.run().unwrap();
    writing.join().unwrap();
    assert!(reading.join().unwrap() == bytes(total));
}

/// The sink is full while the time passes, and the time passes while it is full.
#[test]
fn a_full_sink_and_a_wait() {
    for drain_after in [0, 3, 30, 300] {
        let (mut lp, script) = scripted();
        let (from, (to, kept)) = (quiet(&mut lp), keep(&mut lp, true, 10));
        let log = Log::default();
        lp.pipeline(from, throttle(Rate::per_second(1000).burst(20)), to, done(&log)).unwrap();
        let _ = lp.readable(from).push(bytes(200));
        lp.readable(from).push_end();
        let mut n = 0;
        while log.lines().is_empty() {
            settle(&mut lp);
            script.advance(Duration::from_millis(1));
            n += 1;
            if n % (drain_after + 1) == 0 {
                let _ = lp.writable(to).written(Ok(()));
            }
            assert!(n < 100_000);
        }
        assert_eq!((kept.borrow().as_slice(), log.lines()), (&bytes(200)[..], vec!["done".into()]));
    }
}

/// In front of it another stage keeps bytes until the flush: they are held back, too.
#[test]
fn what_a_flush_makes_is_held_back() {
    struct AtTheEnd(BytesMut);
    impl Transform for AtTheEnd {
        fn transform(
            &mut self,
            _: &mut Cx<'_>,
            chunk: &[u8],
            _: &mut BytesMut,
        ) -> Result<(), BoxError> {
            self.0.extend_from_slice(chunk);
            Ok(())
        }
        fn flush(&mut self, _: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
            out.unsplit(self.0.split());
            Ok(())
        }
    }
    let (mut lp, script) = scripted();
    let (from, (to, kept)) = (quiet(&mut lp), keep(&mut lp, false, 1 << 20));
    let log = Log::default();
    let rate = Rate::per_second(100).burst(10);
    let stages: Vec<Box<dyn Transform>> =
        vec![Box::new(AtTheEnd(BytesMut::new())), Box::new(Throttle::new(rate))];
    lp.pipeline(from, stages, to, done(&log)).unwrap();
    let _ = lp.readable(from).push(bytes(50));
    settle(&mut lp);
    assert_eq!(kept.borrow().len(), 0);
    lp.readable(from).push_end();
    let seen = steps(&mut lp, &script, &kept, &log, Duration::from_millis(10));
    assert_eq!((seen[0], kept.borrow().as_slice()), (10, &bytes(50)[..]));
    assert!((39..=42).contains(&seen.len()), "{}", seen.len());
}

/// Closed while it holds bytes back: both ends end, and nothing keeps the loop alive.
#[test]
fn closed_while_it_waits() {
    for end in [true, false] {
        let (mut lp, _script) = scripted();
        let (from, (to, kept)) = (quiet(&mut lp), keep(&mut lp, false, 1 << 20));
        let log = Log::default();
        let rate = Rate::new(1, Duration::from_secs(3600));
        let pipe = lp.pipeline(from, throttle(rate), to, done(&log)).unwrap();
        let _ = lp.readable(from).push("tide");
        if end {
            lp.readable(from).push_end();
        }
        settle(&mut lp);
        assert_eq!(kept.borrow().as_slice(), b"t");
        lp.close(pipe).unwrap();
        lp.run().unwrap();
        assert_eq!((log.lines().len(), handles(&lp)), (1, 0));
    }
}

/// A source that is gone after its end, while bytes wait: they still come.
#[test]
fn the_source_is_gone_before_the_last_byte() {
    let mut lp = guarded();
    let log = Log::default();
    let (writer, from) = accepted(&mut lp, false, On::new());
    let (to, kept) = keep(&mut lp, false, 1 << 20);
    lp.pipeline(from, throttle(Rate::per_second(20_000).burst(100)), to, done(&log)).unwrap();
    write_all(&writer, &bytes(1000));
    drop(writer);
    turn_until(&mut lp, |_| !log.lines().is_empty());
    assert_eq!(
        (log.lines(), kept.borrow().as_slice()),
        (vec!["done".to_owned()], &bytes(1000)[..])
    );
    lp.close_all();
    lp.run().unwrap();
}
