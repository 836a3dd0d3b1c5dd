//! [`RateLimiter`]: one rate for each of many peers, in bounded memory.
//!
//! Peers are kept in two halves. When the young half is full, it becomes the old one, and what was
//! old is forgotten; a peer that comes again is young again. So a peer is forgotten only after as
//! many others came as a half has, and nothing has to be searched or kept in order.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tidegate_stream::{Bucket, Rate};

use crate::limit::groups::Groups;

/// How often each peer may do something: connect, ask, log in. It keeps a bounded number of peers;
/// one that is forgotten begins with a whole burst.
///
/// A server has two of these as options:
/// [`ListenOptions::accept_rate`](crate::ListenOptions::accept_rate), and `request_rate` of HTTP.
///
/// ```
/// use std::net::IpAddr;
/// use std::time::Duration;
/// use tidegate_net::{Rate, RateLimiter};
/// let mut logins = RateLimiter::new(Rate::per_minute(6).burst(2));
/// let peer: IpAddr = "192.0.2.7".parse()?;
/// let now = Duration::from_secs(1); // of a loop: `cx.now()`
/// assert!(logins.take(peer, now).is_ok() && logins.take(peer, now).is_ok());
/// assert_eq!(logins.take(peer, now), Err(Duration::from_secs(10)));
/// assert!(logins.take("192.0.2.8".parse()?, now).is_ok());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    rate: Rate,
    groups: Groups,
    half: usize,
    young: HashMap<u128, Bucket>,
    old: HashMap<u128, Bucket>,
}

impl RateLimiter {
    /// This rate for each address of IPv4, and for each /64 of IPv6; 65,536 peers are kept.
    pub fn new(rate: Rate) -> RateLimiter {
        RateLimiter {
            rate,
            groups: Groups::default(),
            half: 1 << 15,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// How many bits of an address of IPv4, and of one of IPv6, say which peer it is; default 32 and
    /// 64.
    pub fn group_by(mut self, v4_bits: u8, v6_bits: u8) -> RateLimiter {
        self.groups = Groups { v4: v4_bits, v6: v6_bits };
        self
    }

    /// How many peers are kept at most; default 65,536, about 70 bytes each. At least 2.
    pub fn max_peers(mut self, most: usize) -> RateLimiter {
        self.half = (most / 2).max(1);
        self
    }

    /// Takes one of the peer's at this time. An error takes nothing, and says after how long there
    /// is one again.
    pub fn take(&mut self, peer: IpAddr, now: Duration) -> Result<(), Duration> {
        let group = self.groups.of(peer);
        if let Some(bucket) = self.young.get_mut(&group) {
            return bucket.take(now, 1, self.rate);
        }
        let mut bucket = self.old.remove(&group).unwrap_or_default();
        let taken = bucket.take(now, 1, self.rate);
        if self.young.len() >= self.half {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(group, bucket);
        taken
    }

    /// How many peers are kept now.
    pub fn peers(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("rate", &self.rate)
            .field("peers", &self.peers())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut limiter = RateLimiter::new(Rate::per_second(1)).max_peers(100);
        for n in 0..10_000 {
            assert!(limiter.take(peer(n), Duration::ZERO).is_ok());
            assert!(limiter.peers() <= 100);
        }
        assert!(limiter.peers() >= 50);
    }

    /// Who goes on is not forgotten, as long as fewer others come between than a half has.
    #[test]
    fn an_active_peer_stays() {
        let mut limiter = RateLimiter::new(Rate::per_minute(1)).max_peers(100);
        limiter.take(peer(7), Duration::ZERO).unwrap();
        for n in 100..10_000 {
            let _ = limiter.take(peer(n), Duration::ZERO);
            if n % 40 == 0 {
                assert!(limiter.take(peer(7), Duration::ZERO).is_err());
            }
        }
        let kept: Vec<_> =
            (0..50).filter(|n| limiter.take(peer(9_999 - n), Duration::ZERO).is_err()).collect();
        assert!(kept.len() >= 40, "{kept:?}");
    }
}
