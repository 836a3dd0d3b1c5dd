//! How connections end: every way, and what is told, in order.
//!
//! A connection has exactly one terminal event, `on_close`, with its reason; nothing is told
//! after it. Before it come the completions of writes that never went out, with the same
//! reason. The two directions end each for itself: the peer's by its FIN (`end`), ours by
//! [`end`](crate::net::SocketCx::end) (`finish`).
//!
//! ```text
//!   peer:  FIN ----------------> on_end          (it only tells)
//!                                   |
//!          not half-open: we end, after what is queued
//!                                   v
//!   peer:  <---------------- FIN  on_finish
//!                                   |
//!          both sides have ended    v
//!                                on_close(Ended)
//! ```
//!
//! A reset (RST) ends both directions at once. What came before it is still read, if
//! the kernel kept it, and an answer that came before a failed write is delivered: a write
//! error ends writing, and reading goes on to its end.
//!
//! The table is read by `tests/endings.rs`, which plays each scene. `close: read ECONNRESET`
//! is [`Reason::Failed`](crate::net::Reason::Failed) with its stage and code; "or" stands
//! where the kernel decides what is noticed first.
//!
//! | what happens | what is told, in order |
//! |---|---|
//! | the peer ends first | end, finish, close: ended |
//! | we end first | finish, end, close: ended |
//! | the peer ends, half-open: we end later | end, finish, close: ended |
//! | we end, half-open: the peer sends on, and ends later | finish, data, end, close: ended |
//! | the peer ends with bytes of ours still queued | end, written, finish, close: ended |
//! | the peer closes, while we write on | data, end, close: read EPIPE or data, end, close: write EPIPE or data, end, close: write ECONNRESET |
//! | reset while idle | close: read ECONNRESET |
//! | reset after bytes that were not read yet | data, close: read ECONNRESET or close: read ECONNRESET |
//! | reset while a write waits | not written, close: read ECONNRESET or not written, close: write ECONNRESET |
//! | reset while paused, then resumed | close: read ECONNRESET |
//! | reset after the peer's end, half-open | end, close: read EPIPE or end, close: read ECONNRESET |
//! | we destroy it | close: destroyed |
//! | we destroy it while a write waits | not written, close: destroyed |
//! | we reset it | close: destroyed |
//! | destroyed in on_data | data, close: destroyed |
//! | destroyed in on_end | end, close: destroyed |
//! | destroyed in on_written | written, close: destroyed |
//! | destroyed in on_finish | finish, close: destroyed |
//! | destroyed in on_drain | drain, written, close: destroyed |
//! | destroyed in on_connect | connect, close: destroyed |
//! | the producer ignores Full | close: write limit |
//! | no byte for too long | timeout, close: idle timeout |
//! | open for too long | close: lifetime |
//! | the peer has ended, and no byte for too long | end, close: linger timeout |
//! | we have ended, and no byte for too long | finish, close: linger timeout |
//! | paused for too long | data, timeout, close: idle timeout |
//! | the server shuts down | finish, end, close: ended |
//! | connecting: refused | close: connect ECONNREFUSED |
//! | connecting: the address is no address | close: lookup ? |
//! | connecting: the name is not found | close: lookup ENOTFOUND |
//! | connecting: too long in the lookup | close: connect timeout |
//! | connecting: destroyed at once, a write queued | not written, close: destroyed |
//! | connecting: reset at once | close: destroyed |
//! | connecting: refused, a write and an end queued | not written, close: connect ECONNREFUSED |
//!
//! # Pauses
//!
//! A paused connection reads nothing, so its `end` does not come, nor a reset: the bytes
//! before them may still be wanted. [`peer_state`](crate::net::SocketCx::peer_state) knows
//! of them all the same, and the linger deadline ends such a connection if nobody does.
//!
//! # Deadlines
//!
//! | deadline | from | then |
//! |---|---|---|
//! | `connect_timeout` | `connect`, the lookup counts | closed |
//! | `idle_timeout` | the last byte, either way | `on_timeout`, which closes unless overridden |
//! | `lifetime` | accepted or connected | closed |
//! | `linger_timeout` | an end of either side, and the last byte after it | closed |
//!
//! None is early, none keeps a loop alive, and before an idle or lingering connection is
//! called so, one more read is tried: a loop that was late does not close a healthy
//! connection.
#![forbid(unsafe_code)]
