//! Which addresses count as one peer.
#![forbid(unsafe_code)]

use std::net::IpAddr;

/// How many bits of an address say which peer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Groups {
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

/// An address of IPv4; a network of IPv6, in which a host can take any address.
impl Default for Groups {
    fn default() -> Groups {
        Groups { v4: 32, v6: 64 }
    }
}

impl Groups {
    /// The group of an address, as a number.
    pub(crate) fn of(self, ip: IpAddr) -> u128 {
        let keep = |bits: u8| u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
        match ip.to_canonical() {
            IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()) & keep(self.v4.min(32) + 96),
            IpAddr::V6(v6) => u128::from(v6) & keep(self.v6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(groups: Groups, a: &str, b: &str) -> bool {
        groups.of(a.parse().unwrap()) == groups.of(b.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_group() {
        let usual = Groups::default();
        assert!(
            !same(usual, "192.0.2.1", "192.0.2.2") && same(usual, "192.0.2.1", "::ffff:192.0.2.1")
        );
        assert!(same(usual, "2001:db8::1", "2001:db8::ffff:0:0:1"));
        assert!(!same(usual, "2001:db8:0:1::1", "2001:db8::1"));
        let wide = Groups { v4: 24, v6: 48 };
        assert!(same(wide, "192.0.2.1", "192.0.2.200") && !same(wide, "192.0.2.1", "192.0.3.1"));
        assert!(same(wide, "2001:db8:0:1::1", "2001:db8::1"));
        // No address of IPv4 is in a group with one of IPv6.
        assert!(!same(Groups { v4: 0, v6: 64 }, "0.0.0.0", "::"));
        assert!(
            same(Groups { v4: 200, v6: 200 }, "::1", "::1")
                && !same(Groups { v4: 9, v6: 200 }, "::1", "::2")
        );
    }
}
