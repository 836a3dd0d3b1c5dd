//! The keys of the client: plain 8-byte data, valid or stale, never dangling.
#![forbid(unsafe_code)]

use std::fmt;

use tidegate_loop::Key;

/// Names a request that was made by a client. It keeps the loop alive until it is over;
/// [`Cx::close`](tidegate_loop::Cx::close) ends it early.
///
/// ```
/// assert_eq!(size_of::<Option<tidegate_http::RequestKey>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(pub(crate) Key);

/// Names an [`Agent`](crate::Agent) of a loop. [`Cx::close`](tidegate_loop::Cx::close) closes it:
/// its free connections are closed, requests that wait for one fail, and those that have one go on.
///
/// ```
/// assert_eq!(size_of::<Option<tidegate_http::AgentKey>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentKey(pub(crate) Key);

impl From<RequestKey> for Key {
    fn from(k: RequestKey) -> Key {
        k.0
    }
}

impl From<AgentKey> for Key {
    fn from(k: AgentKey) -> Key {
        k.0
    }
}

impl fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http request {:?}", self.0)
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http agent {:?}", self.0)
    }
}
