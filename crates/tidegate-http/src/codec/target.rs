//! The target of a request, and the `Host` that goes with it.
#![forbid(unsafe_code)]

use crate::message::refusal::{Refusal, bad};
use crate::message::syntax::{ADDRESS, NAME, end_in, end_of_name};

/// Checks the form of a target whose bytes were checked, and returns its authority if it has one.
#[inline]
pub(super) fn check<'b>(method: &str, target: &'b str) -> Result<Option<&'b str>, Refusal> {
    let bytes = target.as_bytes();
    if method == "CONNECT" {
        let has_port = target.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
        });
        return match has_port && is_authority(bytes) {
            true => Ok(Some(target)),
            false => Err(bad("CONNECT without host and port")),
        };
    }
    match bytes {
        [b'/', ..] => Ok(None),
        b"*" if method == "OPTIONS" => Ok(None),
        _ => match authority(target) {
            Some(host) if !host.is_empty() && is_authority(host.as_bytes()) => Ok(Some(host)),
            _ => Err(bad("a bad target")),
        },
    }
}

/// The authority of `http://authority/path`.
fn authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Whether this is `uri-host [":" port]`. Empty is one.
#[inline]
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    let end = end_of_name(bytes, 0);
    let end = match bytes.get(end) {
        None => return true,
        Some(b':') if end > 0 => end,
        _ => match after_other_host(bytes, end) {
            Some(end) if end == bytes.len() => return true,
            Some(end) if bytes[end] == b':' => end,
            _ => return false,
        },
    };
    let port = &bytes[end + 1..];
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// Where a host ends that is an address in brackets; or a name with `%`, which is plain until `at`.
/// `None`: it is none of these.
fn after_other_host(bytes: &[u8], mut at: usize) -> Option<usize> {
    if at == 0 && bytes.first() == Some(&b'[') {
        let end = end_in(bytes, 1, &ADDRESS);
        return (end > 1 && bytes.get(end) == Some(&b']')).then_some(end + 1);
    }
    while let Some([b'%', a, b, ..]) = bytes.get(at..) {
        if !a.is_ascii_hexdigit() || !b.is_ascii_hexdigit() {
            return None;
        }
        at = end_in(bytes, at + 3, &NAME);
    }
    (at > 0).then_some(at)
}

/// Whether two authorities name the same host, and the same port if both have one.
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    let split = |bytes: &[u8]| {
        let from = bytes.iter().rposition(|b| *b == b']').unwrap_or(0);
        let colon = bytes[from..].iter().position(|b| *b == b':').map(|at| from + at);
        match colon {
            Some(at) => (bytes[..at].to_ascii_lowercase(), bytes[at + 1..].to_vec()),
            None => (bytes.to_ascii_lowercase(), Vec::new()),
        }
    };
    let ((host_a, port_a), (host_b, port_b)) = (split(a), split(b));
    host_a == host_b && (port_a.is_empty() || port_b.is_empty() || port_a == port_b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in ["", "a", "a:80", "a:", "[::1]", "[::1]:8080", "127.0.0.1:1", "a%20b", "a_b.c"]
        {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "- - -", "a b", "a:b", "a:123456", "[::1", "[]", "[::1]x", ":80", "a@b", "a/b", "a%2",
            "ä",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn targets() {
        for good in ["/", "/a?b", "http://a", "http://a/", "HTTPS://a:1?x", "/%zz|"] {
            assert!(check("GET", good).is_ok(), "{good}");
        }
        for bad in
            ["", "a", "*", "a:80", "ftp://a/", "http://", "http:///", "http://u@a/", "http://a:b/"]
        {
            assert_eq!(check("GET", bad).map_err(|r| r.status()), Err(400), "{bad}");
        }
        assert_eq!(check("OPTIONS", "*"), Ok(None));
        assert_eq!(check("GET", "http://a:1/x"), Ok(Some("a:1")));
        assert_eq!(check("CONNECT", "a:1"), Ok(Some("a:1")));
        assert_eq!(check("CONNECT", "[::1]:1"), Ok(Some("[::1]:1")));
        for bad in ["a", "a:", ":1", "/", "http://a:1", "a:1/"] {
            assert!(check("CONNECT", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_same_host() {
        assert!(is_same(b"A:80", b"a") && is_same(b"[::1]:80", b"[::1]") && is_same(b"a", b"A"));
        assert!(!is_same(b"a:80", b"a:81") && !is_same(b"a", b"b") && !is_same(b"[::1]", b"[::2]"));
    }
}
