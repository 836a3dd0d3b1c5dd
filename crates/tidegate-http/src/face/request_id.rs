//! [`RequestId`]: the name of a request in the logs of all servers that it passes.
#![forbid(unsafe_code)]

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use tidegate_loop::Key;

use crate::codec::RequestHead;
use crate::exchange::key::ExchangeKey;

/// Bytes of an id that others gave.
const MOST: usize = 128;

/// A name for a request: what its client called it (`X-Request-Id`), or a new one, unique in this
/// process and most likely everywhere. Put it into log lines, into the answer, and into requests
/// that are made for this one.
///
/// ```
/// use tidegate_http::{Http, RequestId, Response};
/// use tidegate_loop::Loop;
/// use tidegate_net::Net;
/// let mut lp = Loop::new()?;
/// let server = lp.http_listen("127.0.0.1:0", |head, x| {
///     let id = RequestId::of(head, x.key()).to_string();
///     println!("{id}: {} {}", head.method, head.target);
///     let _ = x.respond(Response::new(200).headers(&[(RequestId::NAME, &id)]), "high tide\n");
/// })?;
/// # lp.server(server).close()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(String);

impl RequestId {
    /// The name of the field.
    pub const NAME: &str = "x-request-id";

    /// What the head says, if that is 1 to 128 visible characters of ASCII; else a new one. Behind
    /// clients that you do not trust, use [`new`](RequestId::new).
    pub fn of(head: &RequestHead<'_>, key: ExchangeKey) -> RequestId {
        let given = head.fields.get(RequestId::NAME);
        let fits = |id: &&[u8]| {
            (1..=MOST).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_graphic())
        };
        match given.filter(fits).and_then(|id| std::str::from_utf8(id).ok()) {
            Some(id) => RequestId(id.to_owned()),
            None => RequestId::new(key),
        }
    }

    /// A new one, for this exchange: a number of the process, the connection, which request of it.
    pub fn new(key: ExchangeKey) -> RequestId {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        let process = PROCESS.get_or_init(|| RandomState::new().build_hasher().finish());
        let socket = Key::from(key.socket());
        let (of, place, generation) = (socket.loop_id(), socket.index(), socket.generation());
        RequestId(format!("{process:016x}-{of}.{place}.{generation}-{}", key.number()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
