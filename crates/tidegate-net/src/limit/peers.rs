//! [`Peers`]: what a server keeps of its peers: how many connections each has, and how often it
//! comes. There is an entry for each peer with an open connection, and those of the rate.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tidegate_stream::Rate;

use crate::limit::groups::Groups;
use crate::limit::rate_limiter::RateLimiter;
use crate::server_event::PeerLimit;

/// The options.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct PerPeer {
    pub(crate) most: Option<usize>,
    pub(crate) rate: Option<Rate>,
    pub(crate) groups: Groups,
}

pub(crate) struct Peers {
    groups: Groups,
    most: usize,
    open: HashMap<u128, usize>,
    limiter: Option<RateLimiter>,
}

impl Peers {
    /// `None`: there are no limits.
    pub(crate) fn new(options: PerPeer) -> Option<Box<Peers>> {
        let PerPeer { most, rate, groups } = options;
        if most.is_none() && rate.is_none() {
            return None;
        }
        let limiter = rate.map(|rate| RateLimiter::new(rate).group_by(groups.v4, groups.v6));
        let most = most.unwrap_or(usize::MAX);
        Some(Box::new(Peers { groups, most, open: HashMap::new(), limiter }))
    }

    /// One more connection of this peer, or the limit that forbids it.
    pub(crate) fn add(&mut self, ip: IpAddr, now: Duration) -> Result<(), PeerLimit> {
        let group = self.groups.of(ip);
        if self.open.get(&group).is_some_and(|open| *open >= self.most) || self.most == 0 {
            return Err(PeerLimit::Connections);
        }
        if let Some(limiter) = &mut self.limiter {
            limiter.take(ip, now).map_err(|_| PeerLimit::Rate)?;
        }
        *self.open.entry(group).or_default() += 1;
        Ok(())
    }

    /// One less.
    pub(crate) fn remove(&mut self, ip: IpAddr) {
        let group = self.groups.of(ip);
        if let Some(open) = self.open.get_mut(&group) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&group);
            }
        }
    }
}
