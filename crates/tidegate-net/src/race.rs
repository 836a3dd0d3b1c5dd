//! In which order the addresses of a name are tried: Happy Eyeballs, RFC 8305.
//!
//! The families take turns, beginning with that of the first address. The next attempt
//! starts when the one before has failed, or after the attempt delay beside it; nobody is
//! given up for being slow, and the first to connect wins.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::net::SocketAddr;

/// The addresses once each, families in turns.
pub(crate) fn order(found: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let (mut first, mut second) = (VecDeque::new(), VecDeque::new());
    for addr in found {
        let leads: &VecDeque<SocketAddr> = &first;
        let same = leads.front().is_none_or(|f| f.is_ipv4() == addr.is_ipv4());
        let family = if same { &mut first } else { &mut second };
        if !family.contains(&addr) {
            family.push_back(addr);
        }
    }
    let mut order = VecDeque::with_capacity(first.len() + second.len());
    while !first.is_empty() || !second.is_empty() {
        order.extend(first.pop_front());
        order.extend(second.pop_front());
    }
    order
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
            assert!(order(ips(found)).into_iter().eq(ips(expected)), "{found}");
        }
    }
}
