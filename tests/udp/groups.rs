//! Multicast, in a network namespace: two hosts with a cable.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};

use tidegate::net::{Group, UdpOptions};
use tidegate::prelude::*;

use crate::netns;
use crate::support::*;
use crate::{bytes, keeps, nothing, open};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x1234);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// Runs the test on one of two hosts.
fn on_a_host(test: impl FnOnce() + Send) {
    match netns::pair() {
        Ok((here, _there)) => here.inside(test),
        Err(e) => eprintln!("skipped: {e}"),
    }
}

fn near_index() -> u32 {
    let text = std::fs::read_to_string("/sys/class/net/near/ifindex");
    // sysfs shows the namespace of who mounted it.
    let from_ip = || {
        let out = std::process::Command::new("ip").args(["-o", "link", "show", "near"]).output();
        String::from_utf8(out.unwrap().stdout).unwrap()
    };
    let text = text.ok().filter(|t| t.trim().parse::<u32>().is_ok()).unwrap_or_else(from_ip);
    text.split([':', '\n']).next().unwrap().trim().parse().unwrap()
}

/// Sends until something came: IPv6 is ready a moment after the link is.
fn until(lp: &mut Loop, got: &crate::Got, mut send: impl FnMut(&mut Loop)) {
    poll_until(lp, |lp| {
        send(lp);
        !got.borrow().is_empty()
    });
}

#[test]
fn b61_b62_b63_join_leave_interface_and_loop() {
    on_a_host(|| {
        let mut lp = guarded();
        let (got, handler) = keeps();
        let options = UdpOptions::new("0.0.0.0:0").reuse_address(true).packet_info(true);
        let (key, at) = open(&mut lp, options, handler);
        let group = Group::v4(GROUP, NEAR);
        lp.datagrams(key).join(group).unwrap();
        assert_eq!(lp.datagrams(key).join(group).unwrap_err().kind(), ErrorKind::AddrInUse);
        let (sender, _) = open(&mut lp, "10.9.0.1:0", nothing());
        lp.datagrams(sender).set_multicast_interface(NEAR).unwrap();
        let to = (GROUP, at.port()).into();
        let _ = lp.datagrams(sender).send_to(b"one", to);
        turn_until(&mut lp, |_| got.borrow().len() == 1);
        let meta = got.borrow()[0].1;
        assert_eq!((meta.from.ip(), meta.to), (NEAR.into(), Some(GROUP.into())));
        assert_eq!(meta.interface, Some(near_index()));

        // Without the loop our own hosts' sockets get nothing.
        lp.datagrams(sender).set_multicast_loop(false).unwrap();
        let _ = lp.datagrams(sender).send_to(b"unheard", to);
        lp.datagrams(sender).set_multicast_loop(true).unwrap();
        lp.run_nowait().unwrap();
        lp.datagrams(sender).set_multicast_loop(true).unwrap();
        lp.datagrams(key).leave(group).unwrap();
        let e = lp.datagrams(key).leave(group).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::AddrNotAvailable);
        let _ = lp.datagrams(sender).send_to(b"left", to);
        let direct = (NEAR, at.port()).into();
        let _ = lp.datagrams(sender).send_to(b"direct", direct);
        turn_until(&mut lp, |_| bytes(&got).last().unwrap() == b"direct");
        assert!(!bytes(&got).contains(&b"left".to_vec()));
    });
}

#[test]
fn b63_without_the_loop_nothing_comes_back() {
    on_a_host(|| {
        let mut lp = guarded();
        let (got, handler) = keeps();
        let (key, at) = open(&mut lp, "0.0.0.0:0", handler);
        lp.datagrams(key).join(Group::v4(GROUP, NEAR)).unwrap();
        let options = UdpOptions::new("10.9.0.1:0").multicast_loop(false);
        let (sender, _) = open(&mut lp, options, nothing());
        lp.datagrams(sender).set_multicast_interface(NEAR).unwrap();
        lp.datagrams(sender).try_send_to(b"unheard", (GROUP, at.port()).into()).unwrap();
        lp.datagrams(sender).try_send_to(b"direct", (NEAR, at.port()).into()).unwrap();
        turn_until(&mut lp, |_| !got.borrow().is_empty());
        assert_eq!(bytes(&got), [b"direct"]);
    });
}

#[test]
fn b61_b62_groups_of_ipv6() {
    on_a_host(|| {
        let mut lp = guarded();
        let (got, handler) = keeps();
        let (key, at) = open(&mut lp, UdpOptions::new("[::]:0").packet_info(true), handler);
        let group = Group::v6(GROUP_6, near_index());
        lp.datagrams(key).join(group).unwrap();
        assert!(lp.datagrams(key).join(group).is_err());
        let (sender, _) = open(&mut lp, "[fd09::1]:0", nothing());
        lp.datagrams(sender).set_multicast_interface_index(near_index()).unwrap();
        until(&mut lp, &got, |lp| {
            let _ = lp.datagrams(sender).try_send_to(b"six", (GROUP_6, at.port()).into());
        });
        let meta = got.borrow()[0].1;
        assert_eq!((meta.to, meta.interface), (Some(GROUP_6.into()), Some(near_index())));
        lp.datagrams(key).leave(group).unwrap();
    });
}

#[test]
fn b64_only_the_source_that_was_asked_for() {
    on_a_host(|| {
        netns::run("ip addr add 10.9.0.3/24 dev near").unwrap();
        netns::run("ip -6 addr add fd09::3/64 dev near nodad").unwrap();
        let mut lp = guarded();
        let index = near_index();
        let six = Ipv6Addr::new(0xff35, 0, 0, 0, 0, 0, 0x8000, 1);
        let cases: [(&str, Group, [&str; 2], std::net::IpAddr); 2] = [
            (
                "0.0.0.0:0",
                Group::v4(Ipv4Addr::new(232, 1, 1, 1), NEAR).from_source(NEAR),
                ["10.9.0.3:0", "10.9.0.1:0"],
                NEAR.into(),
            ),
            (
                "[::]:0",
                Group::v6(six, index).from_source(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1)),
                ["[fd09::3]:0", "[fd09::1]:0"],
                "fd09::1".parse().unwrap(),
            ),
        ];
        for (any, group, senders, source) in cases {
            let (got, handler) = keeps();
            let (key, at) = open(&mut lp, any, handler);
            lp.datagrams(key).join(group).unwrap();
            let senders = senders.map(|from| {
                let (sender, _) = open(&mut lp, from, nothing());
                let mut u = lp.datagrams(sender);
                let _ = u.set_multicast_interface(NEAR);
                let _ = u.set_multicast_interface_index(index);
                sender
            });
            until(&mut lp, &got, |lp| {
                for sender in senders {
                    let to = (group.address(), at.port()).into();
                    let _ = lp.datagrams(sender).try_send_to(b"x", to);
                }
            });
            assert!(got.borrow().iter().all(|(_, meta)| meta.from.ip() == source));
            lp.datagrams(key).leave(group).unwrap();
        }
    });
}

#[test]
fn b65_what_is_no_group_is_said() {
    let mut lp = guarded();
    let (key, _) = open(&mut lp, "0.0.0.0:0", nothing());
    let one = Group::v4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::UNSPECIFIED);
    let e = lp.datagrams(key).join(one).unwrap_err();
    assert_eq!(e.to_string(), "10.0.0.1 is no multicast address");
    let e = lp.datagrams(key).join(Group::v6(GROUP_6, 0)).unwrap_err();
    assert_eq!(e.to_string(), "ff15::1234 is IPv6, the socket is IPv4");
    let mixed = Group::v4(GROUP, NEAR).from_source(Ipv6Addr::LOCALHOST);
    let e = lp.datagrams(key).join(mixed).unwrap_err();
    assert!(e.to_string().ends_with("are of two families"), "{e}");
    lp.datagrams(key).destroy();
    lp.run().unwrap();
    assert_eq!(lp.datagrams(key).join(one).unwrap_err().kind(), ErrorKind::NotFound);
}

/// A link-local address is one with its scope.
#[test]
fn b35_the_scope_of_a_link_local_address_is_kept() {
    on_a_host(|| {
        let index = near_index();
        netns::run("ip -6 addr add fe80::9/64 dev near nodad").unwrap();
        let mut lp = guarded();
        let (got, handler) = keeps();
        let at = std::net::SocketAddrV6::new("fe80::9".parse().unwrap(), 0, 0, index);
        let (key, at) = open(&mut lp, std::net::SocketAddr::from(at), handler);
        until(&mut lp, &got, |lp| drop(lp.datagrams(key).try_send_to(b"x", at)));
        let from = got.borrow()[0].1.from;
        assert_eq!(from, at);
        assert!(matches!(from, std::net::SocketAddr::V6(a) if a.scope_id() == index), "{from}");
    });
}

/// A broadcast address is no source: the answer leaves from the one that this host has there.
#[test]
fn b46_the_answer_to_a_broadcast_or_a_group_has_a_source() {
    on_a_host(|| {
        for any in ["0.0.0.0:0", "[::]:0"] {
            let mut lp = guarded();
            let handler = OnDatagram::new(|u, data, meta| {
                let _ = u.send_with(data, tidegate::net::SendOptions::reply(meta));
            })
            .send_error(|_, e| panic!("{e}"));
            let (key, at) = open(&mut lp, UdpOptions::new(any).packet_info(true), handler);
            if any == "0.0.0.0:0" {
                lp.datagrams(key).join(Group::v4(GROUP, NEAR)).unwrap();
            }
            let (got, handler) = keeps();
            let options = UdpOptions::new("10.9.0.1:0").broadcast(true);
            let (client, _) = open(&mut lp, options, handler);
            lp.datagrams(client).set_multicast_interface(NEAR).unwrap();
            let broadcast = Ipv4Addr::new(10, 9, 0, 255);
            let groups = [broadcast, GROUP];
            for to in &groups[..if any == "0.0.0.0:0" { 2 } else { 1 }] {
                got.borrow_mut().clear();
                lp.datagrams(client).try_send_to(b"who", ((*to), at.port()).into()).unwrap();
                turn_until(&mut lp, |_| got.borrow().len() == 1);
                assert_eq!(got.borrow()[0].1.from, (NEAR, at.port()).into(), "{any} {to}");
            }
        }
    });
}
