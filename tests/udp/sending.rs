//! Sends, one by one: what arrives, and which errors belong to which datagram.

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;

use tidegate::net::{BlockList, Ecn, SendOptions, UdpOptions};
use tidegate::prelude::*;

use crate::support::*;
use crate::{bytes, keeps, nothing, open, peer, received};

fn echo() -> OnDatagram {
    OnDatagram::new(|u, data, meta| {
        let _ = u.send_to(data, meta.from);
    })
}

#[test]
fn b13_echo_over_both_families() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(client) = std::net::UdpSocket::bind(any) else { continue };
        let mut lp = guarded();
        let (key, at) = open(&mut lp, any, echo());
        client.send_to(b"tide", at).unwrap();
        turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().sent == 1);
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(received(&client), b"tide");
    }
}

#[test]
fn b14_no_callback_inside_of_a_send() {
    let mut lp = guarded();
    let inside = Rc::new(Cell::new(false));
    let told = Rc::new(Cell::new(0));
    let (i, t) = (inside.clone(), told.clone());
    let handler = nothing().sent(move |_, _, result| {
        assert!(!i.get() && result.is_ok());
        t.set(t.get() + 1);
    });
    let (key, _) = open(&mut lp, "127.0.0.1:0", handler);
    let (_socket, to) = peer();
    inside.set(true);
    for id in 0..200 {
        let flow = lp.datagrams(key).send_with(&[0; 1000], SendOptions::to(to).id(id));
        assert_ne!(flow, SendFlow::Dropped);
    }
    inside.set(false);
    turn_until(&mut lp, |_| told.get() == 200);
}

#[test]
fn b15_b17_a_gather_list_is_one_datagram_and_the_parts_are_free_at_once() {
    let mut lp = guarded();
    let (key, _) = open(&mut lp, "127.0.0.1:0", nothing());
    let (socket, to) = peer();
    let mut first = b"ti".to_vec();
    let parts = [IoSlice::new(&first), IoSlice::new(b"de"), IoSlice::new(b"")];
    assert_eq!(lp.datagrams(key).send_vectored(&parts, SendOptions::to(to)), SendFlow::Ready);
    first.fill(b'x');
    turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().sent == 1);
    assert_eq!(received(&socket), b"tide");
    assert_eq!(lp.datagrams(key).stats().unwrap().sent_bytes, 4);
    // More parts than fit on the stack.
    let many = vec![IoSlice::new(b"ab"); 40];
    assert_eq!(lp.datagrams(key).send_vectored(&many, SendOptions::to(to)), SendFlow::Ready);
    turn_until(&mut lp, |lp| lp.datagrams(key).stats().unwrap().sent == 2);
    assert_eq!(received(&socket).len(), 80);
}

#[test]
fn b16_b21_empty_datagrams_arrive() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let (to, at) = open(&mut lp, "127.0.0.1:0", handler);
    let (key, _) = open(&mut lp, UdpOptions::client(at), nothing());
    let mut u = lp.datagrams(key);
    assert_eq!(u.send(b""), SendFlow::Ready);
    assert_eq!(u.send_vectored(&[], SendOptions::default()), SendFlow::Ready);
    assert_eq!(u.send_vectored(&[IoSlice::new(b"")], SendOptions::default()), SendFlow::Ready);
    assert_eq!(u.send_with(b"", SendOptions::default().segment(10)), SendFlow::Ready);
    u.try_send(b"").unwrap();
    turn_until(&mut lp, |_| got.borrow().len() == 5);
    assert!(bytes(&got).iter().all(Vec::is_empty));
    assert_eq!(lp.datagrams(to).stats().unwrap().received, 5);
}

#[test]
fn b18_b19_too_big_fails_alone() {
    let mut lp = guarded();
    let log = Log::default();
    let (l, m) = (log.clone(), log.clone());
    let handler = nothing()
        .send_error(move |_, e| l.add(format!("{} {:?}", e.len, e.error.code().unwrap())))
        .sent(move |_, id, result| {
            let result = result.map_err(|e| e.error.code().unwrap());
            m.add(format!("{id} {result:?}"));
        });
    let (key, _) = open(&mut lp, "127.0.0.1:0", handler);
    let (socket, to) = peer();
    let mut u = lp.datagrams(key);
    let _ = u.send_to(b"before", to);
    let _ = u.send_to(&[0; 65_508], to);
    let _ = u.send_with(&[0; 65_508], SendOptions::to(to).id(7));
    let _ = u.send_with(&vec![0; 10 << 20], SendOptions::to(to).id(8));
    let _ = u.send_with(b"after", SendOptions::to(to).id(9));
    turn_until(&mut lp, |_| log.lines().len() == 4);
    let mut lines = log.lines();
    lines.sort();
    let expected = ["65508 \"EMSGSIZE\"", "7 Err(\"EMSGSIZE\")", "8 Err(\"EMSGSIZE\")", "9 Ok(())"];
    assert_eq!(lines, expected);
    assert_eq!((received(&socket), received(&socket)), (b"before".to_vec(), b"after".to_vec()));
    let stats = lp.datagrams(key).stats().unwrap();
    assert_eq!((stats.sent, stats.send_errors), (2, 3));
    assert_eq!(lp.datagrams(key).waiting().datagrams, 0);
}

#[test]
fn b20_no_destination_or_one_too_many() {
    let mut lp = guarded();
    let log = Log::default();
    let handler = || {
        let log = log.clone();
        nothing().send_error(move |_, e| log.add(e.error.code().unwrap_or("?")))
    };
    let (_socket, to) = peer();
    let (free, _) = open(&mut lp, "127.0.0.1:0", handler());
    let (bound, _) = open(&mut lp, UdpOptions::client(to), handler());
    assert_eq!(lp.datagrams(free).send(b"x"), SendFlow::Ready);
    turn_until(&mut lp, |_| log.has("EDESTADDRREQ"));
    assert_eq!(lp.datagrams(bound).send_to(b"x", to), SendFlow::Ready);
    turn_until(&mut lp, |_| log.has("EISCONN"));
    let code = |e: std::io::Error| e.raw_os_error().unwrap();
    const NO_DESTINATION: i32 = if cfg!(windows) { 10039 } else { libc::EDESTADDRREQ };
    const IS_CONNECTED: i32 = if cfg!(windows) { 10056 } else { libc::EISCONN };
    let e = lp.datagrams(free).try_send(b"x").unwrap_err();
    assert_eq!(code(e), NO_DESTINATION);
    let e = lp.datagrams(bound).try_send_to(b"x", to).unwrap_err();
    assert_eq!(code(e), IS_CONNECTED);
}

#[test]
fn b22_b23_nobody_listens_and_an_unconnected_socket_hears_nothing() {
    let mut lp = guarded();
    let handler = nothing().error(|_, e| panic!("{e}")).send_error(|_, e| panic!("{e}"));
    let (key, _) = open(&mut lp, "127.0.0.1:0", handler);
    let to = crate::gone();
    for _ in 0..1000 {
        let _ = lp.datagrams(key).send_to(b"x", to);
    }
    lp.datagrams(key).end();
    lp.run().unwrap();
}

#[test]
fn b24_try_send_answers_at_once_and_100_skip_nothing() {
    let mut lp = guarded();
    let (key, _) = open(&mut lp, "127.0.0.1:0", nothing());
    let (socket, to) = peer();
    for i in 0..100u8 {
        lp.datagrams(key).try_send_to(&[i], to).unwrap();
    }
    let all: Vec<u8> = (0..100).map(|_| received(&socket)[0]).collect();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
    assert_eq!(lp.datagrams(key).stats().unwrap().sent, 100);
    let e = lp.datagrams(key).try_send_to(&[0; 65_508], to).unwrap_err();
    let too_big = if cfg!(windows) { 10040 } else { libc::EMSGSIZE };
    assert_eq!(e.raw_os_error(), Some(too_big));
}

/// What waits goes first, so the order is that of the calls.
#[test]
fn b24_try_send_keeps_the_order() {
    let mut lp = guarded();
    let (key, _) = open(&mut lp, "127.0.0.1:0", nothing());
    let (socket, to) = peer();
    assert_eq!(lp.datagrams(key).send_to(b"first", to), SendFlow::Ready);
    lp.datagrams(key).try_send_to(b"second", to).unwrap();
    assert_eq!((received(&socket), received(&socket)), (b"first".to_vec(), b"second".to_vec()));
}

#[test]
fn b24_a_batch_of_100_sends_skips_nothing() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let (_, at) = open(&mut lp, UdpOptions::new("127.0.0.1:0").receive_buffer(1 << 20), handler);
    let (key, _) = open(&mut lp, "127.0.0.1:0", nothing());
    // Different lengths and so no runs; more than one call takes.
    for i in 0..100usize {
        assert_eq!(lp.datagrams(key).send_to(&vec![i as u8; i % 7], at), SendFlow::Ready);
    }
    turn_until(&mut lp, |_| got.borrow().len() == 100);
    let expected: Vec<_> = (0..100usize).map(|i| vec![i as u8; i % 7]).collect();
    assert_eq!(bytes(&got), expected);
    let stats = lp.datagrams(key).stats().unwrap();
    assert!(cfg!(not(target_os = "linux")) || stats.send_calls <= 5, "{stats:?}");
}

#[test]
fn b29_after_the_close_nothing_is_accepted() {
    let mut lp = guarded();
    let (key, _) = open(&mut lp, "127.0.0.1:0", nothing());
    let (_socket, to) = peer();
    let mut u = lp.datagrams(key);
    u.destroy();
    assert_eq!(u.send_to(b"x", to), SendFlow::Closed);
    assert_eq!(u.try_send_to(b"x", to).unwrap_err().kind(), ErrorKind::NotFound);
    lp.run().unwrap();
    assert_eq!(lp.datagrams(key).send_to(b"x", to), SendFlow::Closed);
}

#[test]
fn b32_broadcast_needs_the_option() {
    let mut lp = guarded();
    let log = Log::default();
    let to = log.clone();
    let handler = nothing().send_error(move |_, e| to.add(e.error.code().unwrap_or("?")));
    let (key, _) = open(&mut lp, "0.0.0.0:0", handler);
    let all: SocketAddr = "255.255.255.255:9".parse().unwrap();
    let _ = lp.datagrams(key).send_to(b"x", all);
    turn_until(&mut lp, |_| log.has("EACCES"));
    let e = lp.datagrams(key).try_send_to(b"x", all).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::PermissionDenied);
    lp.datagrams(key).set_broadcast(true).unwrap();
    // Now it is a matter of routes.
    let now = lp.datagrams(key).try_send_to(b"x", all);
    assert!(now.as_ref().err().is_none_or(|e| e.kind() != ErrorKind::PermissionDenied), "{now:?}");
}

/// Equal and unequal lengths, two destinations, mixed: whole and in order, with runs and without.
#[test]
fn b33_mixed_sizes_and_destinations_arrive_in_order() {
    for offload in [true, false] {
        let mut lp = guarded();
        let big = || UdpOptions::new("127.0.0.1:0").receive_buffer(4 << 20);
        let (a, handler) = keeps();
        let (_, at_a) = open(&mut lp, big(), handler);
        let (b, handler) = keeps();
        let (_, at_b) = open(&mut lp, big(), handler);
        let options = UdpOptions::new("127.0.0.1:0").send_offload(offload);
        let (key, _) = open(&mut lp, options, nothing());
        let (mut to_a, mut to_b) = (Vec::new(), Vec::new());
        for i in 0..90u8 {
            let len = if i % 10 == 9 { 33 } else { 200 };
            let data = vec![i; len];
            let is_a = i % 30 < 20;
            let _ = lp.datagrams(key).send_to(&data, if is_a { at_a } else { at_b });
            if is_a { to_a.push(data) } else { to_b.push(data) }
        }
        turn_until(&mut lp, |_| a.borrow().len() + b.borrow().len() == 90);
        assert_eq!((bytes(&a), bytes(&b)), (to_a, to_b));
        let runs = lp.datagrams(key).stats().unwrap().runs;
        assert_eq!(runs > 0, offload && cfg!(target_os = "linux"), "{runs} runs");
    }
}

#[test]
fn a_buffer_is_cut_into_segments() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let (_, at) = open(&mut lp, UdpOptions::new("127.0.0.1:0").receive_buffer(4 << 20), handler);
    let sent = Rc::new(Cell::new(0));
    let s = sent.clone();
    let (key, _) =
        open(&mut lp, "127.0.0.1:0", nothing().sent(move |_, id, _| s.set(s.get() + id)));
    let data: Vec<u8> = (0..25_000u32).map(|i| i as u8).collect();
    let flow = lp.datagrams(key).send_with(&data, SendOptions::to(at).segment(1200).id(5));
    assert_eq!(flow, SendFlow::Ready);
    turn_until(&mut lp, |_| got.borrow().len() == 21);
    assert_eq!(bytes(&got).concat(), data);
    assert_eq!((bytes(&got)[20].len(), sent.get()), (1000, 5));
}

#[test]
fn b36_the_block_list_forbids_destinations() {
    let mut lp = guarded();
    let mut list = BlockList::new();
    list.add("127.0.0.1".parse().unwrap());
    let log = Log::default();
    let to = log.clone();
    let handler = nothing().send_error(move |_, e| to.add(e.to_string()));
    let options = UdpOptions::new("127.0.0.1:0").block_list(list);
    let (key, _) = open(&mut lp, options, handler);
    let (_socket, at) = peer();
    let _ = lp.datagrams(key).send_to(b"x", at);
    turn_until(&mut lp, |_| log.lines().len() == 1);
    let text = format!("send to {at} failed: the block list forbids this address [1 bytes]");
    assert_eq!(log.lines(), [text]);
    let e = lp.datagrams(key).try_send_to(b"x", at).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::PermissionDenied);
}

#[test]
#[cfg(target_os = "linux")]
fn b46_b47_source_and_ecn_are_what_was_asked_for() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let options = UdpOptions::new("0.0.0.0:0").packet_info(true).ecn(true).timestamps(true);
    let (_, any) = open(&mut lp, options, handler);
    let (key, _) = open(&mut lp, "0.0.0.0:0", nothing());
    let to: SocketAddr = ([127, 0, 0, 2], any.port()).into();
    let from = "127.0.0.9".parse().unwrap();
    let how = SendOptions::to(to).from(from).ecn(Ecn::Capable0);
    assert_eq!(lp.datagrams(key).send_with(b"x", how), SendFlow::Ready);
    let _ = lp.datagrams(key).send_to(b"y", to);
    turn_until(&mut lp, |_| got.borrow().len() == 2);
    let (first, second) = (got.borrow()[0].1, got.borrow()[1].1);
    assert_eq!((first.from.ip(), first.to), (from, Some(to.ip())));
    assert_eq!((first.ecn, second.ecn), (Some(Ecn::Capable0), Some(Ecn::NotCapable)));
    assert_eq!(first.interface, Some(1));
    let age = first.kernel_time.unwrap().elapsed().unwrap();
    assert!(age < DEADLINE, "{age:?}");
    // A reply leaves from the address that was asked.
    let reply = SendOptions::reply(&first);
    assert_eq!((reply.from, reply.to), (Some(to.ip()), Some(first.from)));
}

/// Each has an answer, and answers that wait have a limit: that of the queue.
#[test]
fn answers_that_wait_are_bounded() {
    type Send = fn(&mut UdpCx<'_>, u64) -> SendFlow;
    let fails: Send = |u, _| u.send(b"no peer");
    let named: Send = |u, id| {
        let options = tidegate::net::SendOptions::to("127.0.0.1:9".parse().unwrap());
        u.send_with(b"x", options.id(id))
    };
    for send in [fails, named] {
        let mut lp = guarded();
        let heard = std::rc::Rc::new(std::cell::Cell::new((0, 0)));
        let (a, b, c) = (heard.clone(), heard.clone(), heard.clone());
        let handler = nothing()
            .sent(move |_, _, _| a.set((a.get().0 + 1, a.get().1)))
            .send_error(move |_, _| b.set((b.get().0 + 1, b.get().1)))
            .drain(move |_| c.set((c.get().0, c.get().1 + 1)));
        let options = tidegate::net::UdpOptions::new("127.0.0.1:0").queue_limit(100_000);
        let (key, _) = open(&mut lp, options.high_water_mark(10_000), handler);
        let (mut accepted, mut first_full) = (0, None);
        for n in 0..1_000_000 {
            match send(&mut lp.datagrams(key), n) {
                SendFlow::Dropped => {}
                flow => {
                    assert!(flow == SendFlow::Ready || first_full.is_some() || accepted > 10);
                    accepted += 1;
                    if flow == SendFlow::Full {
                        first_full.get_or_insert(n);
                    }
                }
            }
        }
        assert!((100..5000).contains(&accepted), "{accepted} answers wait");
        assert!(first_full.is_some_and(|n| n < accepted / 2), "{first_full:?} of {accepted}");
        turn_until(&mut lp, |_| heard.get() == (accepted, 1));
        assert_eq!(lp.datagrams(key).stats().unwrap().refused, 1_000_000 - accepted);
        assert_eq!(send(&mut lp.datagrams(key), 0), SendFlow::Ready);
    }
}

/// What has no address goes to the connected peer, whose family says where the bits are.
#[test]
#[cfg(target_os = "linux")]
fn b47_a_connected_socket_sends_ecn_too() {
    let mut lp = guarded();
    for (there, here) in
        [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0"), ("127.0.0.1:0", "[::]:0")]
    {
        let (got, handler) = keeps();
        let Ok(receiver) = lp.udp(UdpOptions::new(there).ecn(true), handler) else { continue };
        let mut peer = lp.datagrams(receiver).local_addr().unwrap();
        if let (SocketAddr::V4(v4), true) = (peer, here == "[::]:0") {
            peer = (v4.ip().to_ipv6_mapped(), v4.port()).into();
        }
        let Ok(key) = lp.udp(UdpOptions::new(here).connect(peer), nothing()) else { continue };
        let how = SendOptions::default().ecn(Ecn::Capable1);
        assert_eq!(lp.datagrams(key).send_with(b"x", how), SendFlow::Ready);
        turn_until(&mut lp, |_| got.borrow().len() == 1);
        assert_eq!(got.borrow()[0].1.ecn, Some(Ecn::Capable1), "{here} to {peer}");
    }
}

/// The pieces of one buffer are in order with what waits, and each has its answer.
#[test]
fn pieces_keep_the_order_and_their_answer() {
    let mut lp = guarded();
    let (got, handler) = keeps();
    let (_, to) = open(&mut lp, UdpOptions::new("127.0.0.1:0").receive_buffer(4 << 20), handler);
    let told = Log::default();
    let t = told.clone();
    let handler = nothing().sent(move |_, id, result| t.add(format!("{id} {}", result.is_ok())));
    let (key, _) = open(&mut lp, "127.0.0.1:0", handler);
    let pieces = |id| SendOptions::to(to).segment(100).id(id);
    let mut u = lp.datagrams(key);
    assert_eq!(u.send_with(&[1; 250], pieces(1)), SendFlow::Ready);
    assert_eq!(u.send_with(&[2; 30], SendOptions::to(to).id(2)), SendFlow::Ready);
    assert_eq!(u.send_with(&[3; 120], pieces(3)), SendFlow::Ready);
    turn_until(&mut lp, |_| got.borrow().len() == 6 && told.lines().len() == 3);
    let lens: Vec<_> = bytes(&got).iter().map(|d| (d[0], d.len())).collect();
    assert_eq!(lens, [(1, 100), (1, 100), (1, 50), (2, 30), (3, 100), (3, 20)]);
    assert_eq!(told.lines(), ["1 true", "2 true", "3 true"]);
    let stats = lp.datagrams(key).stats().unwrap();
    assert_eq!((stats.sent, stats.sent_bytes), (6, 400));
}
