//! [`Guard`]: which requests are answered. The page has buttons that block a loop, so a page of
//! another origin must not be able to press them.
//!
//! - The address has a random token, which no other page knows.
//! - `Host` must be this server by its address: a name that an attacker makes point here is refused.
//! - `Origin`, if the browser sends one, must be this server.
#![forbid(unsafe_code)]

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use tidegate::http::Head;

pub(crate) struct Guard {
    token: String,
    hosts: [String; 2],
}

/// Why a request is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    Host,
    Origin,
    Token,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Host => "this server answers to its address alone, not to names\n",
            Refused::Origin => "a page of another origin may not ask here\n",
            Refused::Token => "the address needs its token: use the one that tidegate printed\n",
        })
    }
}

impl Guard {
    /// For a server on this port of the loopback address.
    pub(crate) fn new(port: u16) -> Guard {
        // The standard library seeds its hashers with the system's random numbers, and SipHash does
        // not show its key.
        let part = |n: u64| format!("{:016x}", RandomState::new().hash_one(n));
        Guard {
            token: part(1) + &part(2),
            hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
        }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn check(&self, head: &Head<'_>) -> Result<(), Refused> {
        self.admit(head.get("host"), head.get("origin"), param(head.query(), "token"))
    }

    fn admit(
        &self,
        host: Option<&[u8]>,
        origin: Option<&[u8]>,
        token: Option<&str>,
    ) -> Result<(), Refused> {
        let is_ours = |host: &[u8]| self.hosts.iter().any(|h| h.as_bytes() == host);
        if !host.is_some_and(is_ours) {
            return Err(Refused::Host);
        }
        let from_us = |origin: &[u8]| origin.strip_prefix(b"http://").is_some_and(is_ours);
        if !origin.is_none_or(from_us) {
            return Err(Refused::Origin);
        }
        if !token.is_some_and(|token| is_same(token, &self.token)) {
            return Err(Refused::Token);
        }
        Ok(())
    }
}

/// In a time that does not tell how much of it is right.
fn is_same(given: &str, token: &str) -> bool {
    let differ = given.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differ == 0
}

/// The value of the first parameter of this name. Names and values here need no decoding.
pub(crate) fn param<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_page_with_the_token_is_let_in() {
        let guard = Guard::new(8080);
        let token = guard.token().to_owned();
        assert_eq!(token.len(), 32);
        assert_ne!(token, Guard::new(8080).token());
        let ask = |host: &str, origin: Option<&str>, token: Option<&str>| {
            guard.admit(Some(host.as_bytes()), origin.map(str::as_bytes), token)
        };
        let good = Some(token.as_str());
        assert_eq!(ask("127.0.0.1:8080", None, good), Ok(()));
        assert_eq!(ask("localhost:8080", Some("http://localhost:8080"), good), Ok(()));
        for host in
            ["evil.example:8080", "127.0.0.1:80", "127.0.0.1", "127.0.0.1:8080.evil.example"]
        {
            assert_eq!(ask(host, None, good), Err(Refused::Host), "{host}");
        }
        assert_eq!(guard.admit(None, None, good), Err(Refused::Host));
        for origin in ["http://evil.example", "https://127.0.0.1:8080", "null", "file://", ""] {
            assert_eq!(ask("127.0.0.1:8080", Some(origin), good), Err(Refused::Origin), "{origin}");
        }
        for token in [None, Some(""), Some("0"), Some(&token[1..]), Some(&format!("{token}0"))] {
            assert_eq!(ask("127.0.0.1:8080", None, token), Err(Refused::Token), "{token:?}");
        }
    }

    #[test]
    fn parameters_are_found_by_their_whole_names() {
        let query = Some("xtoken=1&token=2&token=3&flag");
        assert_eq!(param(query, "token"), Some("2"));
        assert_eq!((param(query, "flag"), param(None, "token")), (None, None));
    }
}
