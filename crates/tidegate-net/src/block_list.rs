//! [`BlockList`]: addresses that must not be talked to.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Addresses, ranges and subnets. A rule for IPv4 also matches the address as IPv6 maps it
/// (`::ffff:10.0.0.1`), which is how a server for both families sees such a peer.
///
/// ```
/// use tidegate_net::BlockList;
/// let mut list = BlockList::new();
/// list.add("10.0.0.1".parse().unwrap());
/// list.add_range("10.1.0.0".parse().unwrap(), "10.1.0.9".parse().unwrap()).unwrap();
/// list.add_subnet("fe80::".parse().unwrap(), 10).unwrap();
/// assert!(list.contains("::ffff:10.1.0.9".parse().unwrap()));
/// assert!(!list.contains("10.1.0.10".parse().unwrap()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockList {
    /// First and last, both as IPv6.
    ranges: Vec<(u128, u128)>,
}

/// Why a rule is invalid.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_net::{BlockList, RuleError};
/// let v4 = "10.0.0.0".parse().unwrap();
/// assert_eq!(BlockList::new().add_subnet(v4, 33), Err(RuleError::Prefix));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RuleError {
    /// More bits than the address has.
    Prefix,
    /// The ends are not of one family, or the first is after the last.
    Range,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RuleError::Prefix => "a subnet has at most 32 bits (IPv4) or 128 bits (IPv6)",
            RuleError::Range => {
                "a range goes from a lower to a higher address, both IPv4 or both IPv6"
            }
        })
    }
}

impl std::error::Error for RuleError {}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

impl BlockList {
    /// A list without rules.
    pub fn new() -> BlockList {
        BlockList::default()
    }

    /// Blocks one address.
    pub fn add(&mut self, ip: IpAddr) {
        self.ranges.push((number(ip), number(ip)));
    }

    /// Blocks all from the first to the last.
    pub fn add_range(&mut self, first: IpAddr, last: IpAddr) -> Result<(), RuleError> {
        if first.is_ipv4() != last.is_ipv4() || first > last {
            return Err(RuleError::Range);
        }
        self.ranges.push((number(first), number(last)));
        Ok(())
    }

    /// Blocks a subnet: all addresses that begin with the first `bits` of this one.
    pub fn add_subnet(&mut self, ip: IpAddr, bits: u8) -> Result<(), RuleError> {
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let free = width - u32::from(bits).min(width);
        if u32::from(bits) > width {
            return Err(RuleError::Prefix);
        }
        let mask = 1u128.checked_shl(free).map_or(u128::MAX, |bit| bit - 1);
        self.ranges.push((number(ip) & !mask, number(ip) | mask));
        Ok(())
    }

    /// Whether a rule matches.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let n = number(ip);
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&n))
    }

    /// The rules, as first and last address.
    pub fn rules(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let ip = |n: u128| IpAddr::V6(Ipv6Addr::from(n)).to_canonical();
        self.ranges.iter().map(move |(first, last)| (ip(*first), ip(*last)))
    }

    /// Removes all rules.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }
}
