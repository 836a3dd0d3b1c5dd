//! What arrives, in which turn, and what a pause in the middle does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::net::{BlockList, SendOptions, UdpOptions};
use tidegate::prelude::*;

use crate::support::*;
use crate::{bytes, keeps, nothing, open, peer};

#[test]
fn b37_several_come_in_one_turn_before_check() {
    let mut lp = guarded();
    let log = Log::default();
    let (l, m) = (log.clone(), log.clone());
    let handler = OnDatagram::new(move |_, data, _| l.add(String::from_utf8_lossy(data)));
    let (_, at) = open(&mut lp, "127.0.0.1:0", handler);
    lp.cx().check(move |_, _| m.add("check"));
    let (sender, _) = peer();
    for data in ["1", "", "3", "4"] {
        sender.send_to(data.as_bytes(), at).unwrap();
    }
    turn_until(&mut lp, |_| log.lines().len() >= 5);
    let lines: Vec<_> = log.lines().into_iter().skip_while(|l| l == "check").take(5).collect();
    assert_eq!(lines, ["1", "", "3", "4", "check"]);
    lp.cx().close_all();
}

/// Each is its own call then; only what was assumed at the start is one call for several.
#[test]
#[cfg(all(target_os = "linux", not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))))]
fn few_datagrams_come_one_by_one() {
    let mut lp = guarded();
    let (key, at) = open(&mut lp, "127.0.0.1:0", OnDatagram::new(|_, _, _| {}));
    let (sender, _) = peer();
    for round in 1..=10 {
        (0..3).for_each(|_| assert_eq!(sender.send_to(b"tide", at).unwrap(), 4));
        turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().received == 3 * round);
    }
    let stats = lp.datagrams(key).stats().unwrap();
    assert!(stats.receive_calls >= 28, "{stats:?}");
    lp.cx().close_all();
}

/// While datagrams come singly, the first that a callback sends does not wait for its return.
#[test]
#[cfg(all(target_os = "linux", not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))))]
fn a_single_datagram_is_answered_at_once() {
    let mut lp = guarded();
    let seen: Rc<RefCell<Vec<[u64; 2]>>> = Rc::default();
    let s = seen.clone();
    let handler = OnDatagram::new(move |u, data, meta| {
        let before = u.stats().unwrap().sent;
        let after = [data, b"second"].map(|data| {
            assert_eq!(u.send_to(data, meta.from), SendFlow::Ready);
            u.stats().unwrap().sent - before
        });
        s.borrow_mut().push(after);
    });
    let (_, at) = open(&mut lp, "127.0.0.1:0", handler);
    let (client, _) = peer();
    for n in 1..=10u8 {
        client.send_to(&[n], at).unwrap();
        turn_until(&mut lp, |_| seen.borrow().len() == usize::from(n));
        assert_eq!([crate::received(&client), crate::received(&client)], [&[n][..], b"second"]);
    }
    // Much is assumed at first: then both wait and leave together.
    assert_eq!((seen.borrow()[0], seen.borrow()[9]), ([0, 0], [1, 1]));
    lp.cx().close_all();
}

/// Bun#37103: a flood let a timer fire never.
#[test]
fn b38_a_flood_leaves_a_timer_its_time_and_is_carried_over() {
    let mut lp = guarded();
    let sink = OnDatagram::new(move |u, data, meta| {
        // It feeds itself: what it receives it sends again, for ever.
        let _ = u.send_to(data, meta.from);
    });
    let options = UdpOptions::new("127.0.0.1:0").datagram_budget(16);
    let (key, at) = open(&mut lp, options, sink);
    for _ in 0..100 {
        let _ = lp.datagrams(key).send_to(b"flood", at);
    }
    let ticks = Rc::new(Cell::new(0));
    let t = ticks.clone();
    lp.interval(Duration::from_millis(1), move |cx, _| {
        t.set(t.get() + 1);
        if t.get() == 20 {
            cx.stop();
        }
    });
    let trace = Trace::default();
    lp.observe(trace.clone());
    lp.run().unwrap();
    assert_eq!(ticks.get(), 20);
    let stats = lp.datagrams(key).stats().unwrap();
    assert!(stats.carried_over > 0, "{stats:?}");
    let most = trace.net().into_iter().filter_map(|(_, e)| match e {
        tidegate::net::NetEvent::Udp(_, tidegate::net::UdpEvent::Received { datagrams, .. }) => {
            Some(datagrams)
        }
        _ => None,
    });
    assert_eq!(most.max(), Some(16));
    lp.cx().close_all();
    lp.run().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn b39_what_is_too_long_is_cut_and_said() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let options = UdpOptions::new("127.0.0.1:0").max_datagram(5);
    let (key, at) = open(&mut lp, options, handler);
    let (sender, _) = peer();
    // One alone, and several in a batch.
    for n in [1, 20] {
        got.borrow_mut().clear();
        for _ in 0..n {
            sender.send_to(b"123456789", at).unwrap();
            sender.send_to(b"12345", at).unwrap();
        }
        turn_until(&mut lp, |_| got.borrow().len() == 2 * n);
        let cut: Vec<_> = got.borrow().iter().map(|(_, meta)| meta.truncated).collect();
        assert_eq!(cut, [true, false].repeat(n));
        assert!(bytes(&got).iter().all(|data| data == b"12345"));
    }
    assert_eq!(lp.datagrams(key).stats().unwrap().truncated, 21);
}

#[test]
fn b40_a_batch_is_what_single_calls_are() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let (key, at) = open(&mut lp, UdpOptions::new("127.0.0.1:0").receive_buffer(4 << 20), handler);
    let (sender, from) = peer();
    let mut expected = Vec::new();
    // One a turn; then hundreds that wait together, of every length.
    for i in 0..20u8 {
        sender.send_to(&[i], at).unwrap();
        expected.push(vec![i]);
        turn_until(&mut lp, |_| got.borrow().len() == expected.len());
    }
    for round in 0..5usize {
        for i in 0..100 {
            let data = vec![i as u8; (i * 37 + round) % 1500];
            sender.send_to(&data, at).unwrap();
            expected.push(data);
        }
        turn_until(&mut lp, |_| got.borrow().len() == expected.len());
    }
    assert_eq!(bytes(&got), expected);
    assert!(got.borrow().iter().all(|(_, meta)| meta.from == from && !meta.truncated));
    let stats = lp.datagrams(key).stats().unwrap();
    assert_eq!(stats.received, 520);
    let batched = stats.receive_calls < 150;
    assert!(batched || cfg!(not(target_os = "linux")), "{stats:?}");
}

#[test]
fn b41_a_pause_in_the_middle_of_a_batch_loses_nothing() {
    let mut lp = guarded();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let s = seen.clone();
    let handler = OnDatagram::new(move |u, data, _| {
        s.borrow_mut().push(data.to_vec());
        u.pause();
        assert!(u.is_paused());
    });
    let options = UdpOptions::new("127.0.0.1:0").receive_buffer(1 << 20);
    let (key, at) = open(&mut lp, options, handler);
    let (sender, _) = peer();
    let mut all = Vec::new();
    for i in 0..60u8 {
        let data = vec![i; usize::from(i % 4)];
        sender.send_to(&data, at).unwrap();
        all.push(data);
    }
    for n in 1..=60 {
        turn_until(&mut lp, |_| seen.borrow().len() == n);
        // Paused, nothing more comes.
        for _ in 0..3 {
            lp.run_nowait().unwrap();
        }
        assert_eq!(seen.borrow().len(), n);
        lp.datagrams(key).resume();
    }
    assert_eq!(*seen.borrow(), all);
    lp.datagrams(key).destroy();
    lp.run().unwrap();
}

/// A paused socket costs no turn, however much comes.
#[test]
fn b41_a_paused_socket_does_not_wake_the_loop() {
    let mut lp = guarded();
    let (key, at) = open(&mut lp, "127.0.0.1:0", nothing());
    lp.datagrams(key).pause();
    let (sender, _) = peer();
    for _ in 0..100 {
        sender.send_to(b"x", at).unwrap();
    }
    let before = lp.metrics().events;
    run_for(&mut lp, Duration::from_millis(20));
    let events = lp.metrics().events - before;
    assert!(events <= if cfg!(target_os = "linux") { 2 } else { 101 }, "{events} events");
}

#[test]
fn b42_a_close_in_the_middle_ends_the_batch() {
    let mut lp = guarded();
    let log = Log::default();
    let (l, m) = (log.clone(), log.clone());
    let handler = OnDatagram::new(move |u, data, _| {
        l.add(format!("{}", data[0]));
        if data[0] == 4 {
            u.destroy();
        }
    })
    .close(move |_, close| m.add(format!("{} {}", close, close.stats.received)));
    let (_, at) = open(&mut lp, "127.0.0.1:0", handler);
    let (sender, _) = peer();
    for i in 0..10u8 {
        sender.send_to(&[i], at).unwrap();
    }
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[..5], ["0", "1", "2", "3", "4"]);
    assert!(lines.len() == 6 && lines[5].starts_with("destroyed"), "{lines:?}");
    assert!(lines[5].ends_with(" 5"), "{lines:?}");
}

#[test]
fn b43_a_handler_replaces_itself() {
    let mut lp = guarded();
    let (got, second) = keeps();
    let second = RefCell::new(Some(second));
    let first = OnDatagram::new(move |u, data, _| {
        assert_eq!(data, b"1");
        u.set_handler(second.borrow_mut().take().unwrap());
    });
    let (_, at) = open(&mut lp, "127.0.0.1:0", first);
    let (sender, _) = peer();
    for data in [b"1", b"2", b"3"] {
        sender.send_to(data, at).unwrap();
    }
    turn_until(&mut lp, |_| got.borrow().len() == 2);
}

#[test]
fn b44_a_panic_ends_the_socket_and_leaves_the_loop_whole() {
    let mut lp = guarded();
    let closed = Log::default();
    let to = closed.clone();
    let handler = OnDatagram::new(|_, _, _| panic!("on purpose"))
        .close(move |_, close| to.add(close.reason.to_string()));
    let (_, at) = open(&mut lp, "127.0.0.1:0", handler);
    let (got, handler) = keeps();
    let (other, there) = open(&mut lp, "127.0.0.1:0", handler);
    let (sender, _) = peer();
    for _ in 0..5 {
        sender.send_to(b"x", at).unwrap();
    }
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
    assert!(ran.is_err());
    sender.send_to(b"y", there).unwrap();
    turn_until(&mut lp, |_| got.borrow().len() == 1 && !closed.lines().is_empty());
    assert_eq!(closed.lines(), ["a callback panicked"]);
    lp.datagrams(other).destroy();
    lp.run().unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn b45_packet_info_says_the_destination() {
    let mut lp = guarded();
    for (any, to, at) in [
        ("0.0.0.0:0", "127.0.0.2", "127.0.0.1:0"),
        ("[::]:0", "::1", "[::1]:0"),
        ("[::]:0", "127.0.0.3", "127.0.0.1:0"),
    ] {
        let Ok(sender) = std::net::UdpSocket::bind(at) else { continue };
        let (got, handler) = keeps();
        let (key, local) = open(&mut lp, UdpOptions::new(any).packet_info(true), handler);
        let to: std::net::IpAddr = to.parse().unwrap();
        sender.send_to(b"x", (to, local.port())).unwrap();
        turn_until(&mut lp, |_| got.borrow().len() == 1);
        let meta = got.borrow()[0].1;
        assert_eq!((meta.to, meta.interface), (Some(to), Some(1)));
        assert_eq!((meta.ecn, meta.kernel_time), (None, None));
        // The reply leaves from there, also to a mapped address.
        let _ = lp.datagrams(key).send_with(b"y", SendOptions::reply(&meta));
        turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().sent == 1);
        sender.set_read_timeout(Some(DEADLINE)).unwrap();
        let (_, from) = sender.recv_from(&mut [0; 9]).unwrap();
        assert_eq!(from.ip(), to);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn b48_trains_are_split_exactly() {
    let mut lp = guarded();
    for pauses in [false, true] {
        let got = Rc::new(RefCell::new(Vec::new()));
        let g = got.clone();
        let handler = OnDatagram::new(move |u, data, _| {
            g.borrow_mut().push(data.to_vec());
            if pauses {
                u.pause();
            }
        });
        let options = UdpOptions::new("127.0.0.1:0").receive_offload(true).receive_buffer(8 << 20);
        let (key, at) = open(&mut lp, options, handler);
        let (from, _) = open(&mut lp, "127.0.0.1:0", nothing());
        let data: Vec<u8> = (0..40_123u32).map(|i| (i % 251) as u8).collect();
        let how = SendOptions::to(at).segment(1000);
        assert_eq!(lp.datagrams(from).send_with(&data, how), SendFlow::Ready);
        turn_until(&mut lp, |lp| {
            lp.datagrams(key).resume();
            got.borrow().len() == 41
        });
        let lens: Vec<_> = got.borrow().iter().map(Vec::len).collect();
        assert_eq!(lens, [vec![1000; 40], vec![123]].concat());
        assert_eq!(got.borrow().concat(), data);
        let stats = lp.datagrams(key).stats().unwrap();
        assert!(stats.receive_calls < 10, "{stats:?}");
    }
}

#[test]
fn b49_blocked_sources_are_counted_and_not_delivered() {
    let mut lp = guarded();
    let mut list = BlockList::new();
    list.add("127.0.0.1".parse().unwrap());
    let (key, at) = open(&mut lp, UdpOptions::new("127.0.0.1:0").block_list(list), nothing());
    let (sender, _) = peer();
    for _ in 0..7 {
        sender.send_to(b"x", at).unwrap();
    }
    turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().blocked == 7);
    assert_eq!(lp.datagrams(key).stats().unwrap().received, 0);
}

#[test]
fn b50_an_unreferenced_socket_does_not_hold_the_loop() {
    let mut lp = guarded();
    let (key, _) = open(&mut lp, "127.0.0.1:0", nothing());
    lp.set_ref(key, false).unwrap();
    lp.run().unwrap();
    assert!(lp.is_open(key));
    lp.set_ref(key, true).unwrap();
    assert_eq!(lp.why_alive().len(), 1);
}

#[test]
fn b22_a_thousand_round_trips() {
    let mut lp = guarded();
    let echo = OnDatagram::new(|u, data, meta| {
        let _ = u.send_to(data, meta.from);
    });
    let (server, at) = open(&mut lp, "127.0.0.1:0", echo);
    let left = Rc::new(Cell::new(1000));
    let l = left.clone();
    let client = OnDatagram::new(move |u, data, _| {
        l.set(l.get() - 1);
        if l.get() == 0 {
            u.cx().stop();
        } else {
            let _ = u.send(data);
        }
    });
    let (client, _) = open(&mut lp, UdpOptions::client(at), client);
    let _ = lp.datagrams(client).send(b"ping");
    let began = Instant::now();
    lp.run().unwrap();
    assert_eq!(left.get(), 0, "{:?}", began.elapsed());
    // No call is made only to hear that there is no more.
    let stats = lp.datagrams(server).stats().unwrap();
    assert_eq!((stats.received, stats.receive_calls, stats.send_calls), (1000, 1000, 1000));
}

/// What a panic cuts off was received, and is counted.
#[test]
fn b44_what_follows_a_panic_in_its_batch_is_counted() {
    let mut lp = guarded();
    let closed = Log::default();
    let (to, mut left) = (closed.clone(), 2);
    let handler = OnDatagram::new(move |_, _, _| {
        left -= 1;
        assert!(left > 0, "on purpose");
    })
    .close(move |_, close| to.add(format!("{} {}", close.stats.received, close.undelivered)));
    let (_, at) = open(&mut lp, "127.0.0.1:0", handler);
    let (sender, _) = peer();
    for _ in 0..7 {
        sender.send_to(b"x", at).unwrap();
    }
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
    assert!(ran.is_err());
    lp.run_nowait().unwrap();
    // Where a call receives one datagram the others stay in the kernel.
    let rest = if cfg!(target_os = "linux") { 5 } else { 0 };
    assert_eq!(closed.lines(), [format!("2 {rest}")]);
}

/// A call may receive many trains of many datagrams each; the budget is one of datagrams.
#[test]
#[cfg(target_os = "linux")]
fn b38_trains_do_not_exceed_the_budget() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let options = UdpOptions::new("127.0.0.1:0").receive_offload(true).receive_buffer(8 << 20);
    let (_, at) = open(&mut lp, options.datagram_budget(10), handler);
    let (from, _) = open(&mut lp, "127.0.0.1:0", nothing());
    for _ in 0..6 {
        let data: Vec<u8> = (0..40).flat_map(|n| [n; 1000]).collect();
        let how = SendOptions::to(at).segment(1000);
        assert_eq!(lp.datagrams(from).send_with(&data, how), SendFlow::Ready);
    }
    let mut before = 0;
    turn_until(&mut lp, |_| {
        let now = got.borrow().len();
        assert!(now - before <= 10, "{} in a turn", now - before);
        before = now;
        now == 240
    });
    let expected: Vec<_> = (0..240).map(|n| vec![(n % 40) as u8; 1000]).collect();
    assert_eq!(bytes(&got), expected);
}

/// A buffer that cuts trains would lose whole datagrams.
#[test]
#[cfg(target_os = "linux")]
fn b39_trains_are_not_cut() {
    let options = UdpOptions::new("127.0.0.1:0").receive_offload(true).max_datagram(2000);
    let e = guarded().udp(options, nothing()).unwrap_err();
    assert!(e.to_string().contains("a train of datagrams would be cut"), "{e}");
}
