//! Limits for each peer: how much memory they keep, however many peers come.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tidegate::net::{Rate, RateLimiter};

use crate::allocation::live;

/// 100,000 peers of IPv4 and as many of IPv6, and then ten times as many: no more than 96 bytes for
/// each of the 65,536 that are kept.
#[test]
fn many_peers_leave_the_memory_bounded() {
    let before = live();
    let mut limiter = RateLimiter::new(Rate::per_second(10));
    let mut most = 0;
    let mut come = |from: u32, to: u32| -> isize {
        for n in from..to {
            let ip: IpAddr = match n % 2 {
                0 => IpAddr::from(n.to_be_bytes()),
                _ => Ipv6Addr::from(u128::from(n) << 64).into(),
            };
            assert!(limiter.take(ip, Duration::from_nanos(n.into())).is_ok());
            assert!(limiter.peers() <= 65_536);
            most = most.max(live() - before);
        }
        most
    };
    let first = come(0, 200_000);
    assert!(first <= 65_536 * 96, "{first} bytes");
    assert_eq!(come(200_000, 2_000_000), first, "it does not grow");
    drop(limiter);
    assert_eq!(live(), before);
    println!("{first} bytes for 65,536 peers");
}
