//! In which order the addresses of a name are tried: Happy Eyeballs, RFC 8305.
//!
//! The families take turns, beginning with that of the first address. The next attempt
//! starts when the one before has failed, or after the attempt delay beside it, and the first
//! to connect wins. How many addresses are tried, and how many at once, has a limit. Only where
//! all places are taken and an address waits, an attempt is given up for being slow.
#![forbid(unsafe_code)]

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

/// The addresses once each, families in turns, at most so many; and how many are left out.
/// Each family has its turns however late in the list it comes.
pub(crate) fn order(
    found: impl IntoIterator<Item = SocketAddr>,
    most: usize,
) -> (VecDeque<SocketAddr>, usize) {
    let mut seen = HashSet::new();
    let (mut first, mut second) = (VecDeque::new(), VecDeque::new());
    for addr in found {
        if !seen.insert(addr) {
            continue;
        }
        let leads: &VecDeque<SocketAddr> = &first;
        let same = leads.front().is_none_or(|f| f.is_ipv4() == addr.is_ipv4());
        let family = if same { &mut first } else { &mut second };
        if family.len() < most {
            family.push_back(addr);
        }
    }
    let mut order = VecDeque::with_capacity(most.min(first.len() + second.len()));
    while order.len() < most && !(first.is_empty() && second.is_empty()) {
        order.extend(first.pop_front());
        if order.len() < most {
            order.extend(second.pop_front());
        }
    }
    let left_out = seen.len() - order.len();
    (order, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<SocketAddr> {
        let ips = text.split_whitespace().map(|t| t.parse().unwrap());
        ips.map(|ip| SocketAddr::new(ip, 80)).collect()
    }

    #[test]
    fn families_take_turns_and_nobody_comes_twice() {
        for (found, expected) in [
            ("", ""),
            ("10.0.0.1", "10.0.0.1"),
            ("::1 10.0.0.1", "::1 10.0.0.1"),
            ("10.0.0.1 10.0.0.2 10.0.0.1 ::1", "10.0.0.1 ::1 10.0.0.2"),
            ("::1 ::2 ::3 10.0.0.1 10.0.0.2", "::1 10.0.0.1 ::2 10.0.0.2 ::3"),
        ] {
            let (order, left_out) = order(ips(found), 16);
            assert!(order.into_iter().eq(ips(expected)), "{found}");
            assert_eq!(left_out, 0);
        }
    }

    #[test]
    fn a_limit_leaves_turns_to_both_families() {
        for (found, most, expected, left) in [
            ("10.0.0.1 10.0.0.2 10.0.0.2 10.0.0.3 ::1", 2, "10.0.0.1 ::1", 2),
            ("10.0.0.1 10.0.0.2 10.0.0.3 ::1", 3, "10.0.0.1 ::1 10.0.0.2", 1),
            ("10.0.0.1 ::1", 1, "10.0.0.1", 1),
        ] {
            let (order, left_out) = order(ips(found), most);
            assert!(order.into_iter().eq(ips(expected)), "{found}");
            assert_eq!(left_out, left, "{found}");
        }
    }

    /// Quadratic, this would take minutes.
    #[test]
    fn a_long_list_is_ordered_in_linear_time() {
        let v4 = (0..200_000u32).map(|i| SocketAddr::from((i.to_be_bytes(), 80)));
        let (order, left_out) = order(v4.chain(ips("::1")), 200_001);
        assert_eq!((order.len(), left_out), (200_001, 0));
        assert!(order[1].is_ipv6());
    }
}
