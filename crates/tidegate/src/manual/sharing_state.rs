//! Sharing state: where a value lives that callbacks need.
//!
//! One thread runs all callbacks of a loop, one at a time, so shared state needs no lock. You only
//! have to choose who owns the value. There are three ways, the simplest first:
//!
//! | the value belongs to | keep it in | get it by | it is dropped |
//! |---|---|---|---|
//! | one connection, several callbacks | a field of a [`Handler`](crate::net::Handler) | `&mut self` | after `on_close` |
//! | one connection, closures | [`On::with`](crate::net::On::with) | the first argument of each closure | after `on_close` |
//! | several connections, timers, servers | the loop, by [`share`](crate::Cx::share) | [`with`](crate::Cx::with) | by [`close`](crate::Cx::close), or with the loop |
//!
//! An `Rc<RefCell<T>>` that closures capture works, too. But a second borrow panics while the first
//! is held, and a handler that holds an `Rc` to itself is never dropped. Values that the loop owns
//! have neither problem: a second `with` of a value that is lent returns an error, and there is no
//! `Rc`.
//!
//! # Fields of a handler
//!
//! Each connection has one value of your type. Its callbacks get `&mut self`.
//!
//! ```
//! use tidegate::prelude::*;
//!
//! /// Counts lines, and says the total at the end.
//! struct Lines {
//!     seen: u64,
//! }
//!
//! impl Handler for Lines {
//!     fn on_data(&mut self, _: &mut SocketCx<'_>, chunk: &[u8]) {
//!         self.seen += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
//!     }
//!     fn on_end(&mut self, s: &mut SocketCx<'_>) {
//!         let _ = s.end_with(format!("{} lines\n", self.seen).as_str());
//!     }
//! }
//!
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |mut conn| {
//!     conn.server(conn.server_key()).close().unwrap();
//!     conn.accept(Lines { seen: 0 });
//! })?;
//! let at = lp.server(server).local_addr()?;
//! let client = lp.connect(at, On::new().data(|_, chunk| assert_eq!(chunk, b"2 lines\n")));
//! let _ = lp.socket(client).end_with("high\nwater\n");
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # A state for closures
//!
//! The same without a type: [`On::with`](crate::net::On::with) keeps a value beside the
//! closures and lends it to each of them.
//!
//! ```
//! use tidegate::prelude::*;
//!
//! let mut lp = Loop::new()?;
//! let server = lp.listen("127.0.0.1:0", |mut conn| {
//!     conn.server(conn.server_key()).close().unwrap();
//!     conn.accept(
//!         On::with(0)
//!             .data(|sum: &mut usize, _, chunk| *sum += chunk.len())
//!             .end(|sum, s| {
//!                 let _ = s.end_with(format!("{sum} bytes").as_str());
//!             }),
//!     );
//! })?;
//! let at = lp.server(server).local_addr()?;
//! let client = lp.connect(at, On::new().data(|_, chunk| assert_eq!(chunk, b"10 bytes")));
//! let _ = lp.socket(client).end_with("high water");
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # A value that the loop owns
//!
//! The loop can own a value that several connections share. [`share`](crate::Cx::share) takes the
//! value and returns a [`Shared`](crate::Shared) key, which is `Copy`, so any number of closures
//! can have it. [`with`](crate::Cx::with) lends the value and a `Cx` to a closure that runs at
//! once, so the closure can write to every connection that the value names.
//!
//! ```
//! use std::collections::BTreeSet;
//! use tidegate::prelude::*;
//!
//! #[derive(Default)]
//! struct Room {
//!     members: BTreeSet<SocketKey>,
//! }
//!
//! impl Room {
//!     /// To all members but this one.
//!     fn say(&self, s: &mut SocketCx<'_>, text: &[u8]) {
//!         let from = s.key();
//!         for member in self.members.iter().filter(|member| **member != from) {
//!             if s.socket(*member).write(text) == Flow::Full {
//!                 s.socket(*member).reset(); // too slow for this room
//!             }
//!         }
//!     }
//! }
//!
//! let mut lp = Loop::new()?;
//! let room = lp.share(Room::default())?;
//! let server = lp.listen("127.0.0.1:0", move |conn| {
//!     let mut s = conn.accept(
//!         On::new()
//!             .data(move |s, chunk| {
//!                 s.with(room, |room, s| room.say(s, chunk)).expect("nobody has the room");
//!             })
//!             .close(move |s, _| {
//!                 // An error if the room is closed: then there is nothing to leave.
//!                 let _ = s.with(room, |room, s| room.members.remove(&s.key()));
//!             }),
//!     );
//!     s.with(room, |room, s| room.members.insert(s.key())).unwrap();
//! })?;
//!
//! // Ann and bob come; then ann says a word, which bob hears, and the room is closed.
//! let at = lp.server(server).local_addr()?;
//! let ann = lp.connect(at, On::new());
//! lp.connect(at, On::new().connect(move |s| drop(s.socket(ann).write(b"hello"))).data(
//!     |s, chunk| {
//!         assert_eq!(chunk, b"hello");
//!         s.cx().close_all();
//!     },
//! ));
//! lp.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! On a connection, [`SocketCx::with`](crate::net::SocketCx::with) lends the connection beside the
//! value; on the loop and in other callbacks it is the loop's context. The example `chat` is such
//! a room, with names and lines.
//!
//! Writing inside of `with` runs no callback: `write` queues, and `on_drain` or `on_close` come
//! later, when the value is back. So the value is there, in a consistent state, whenever a callback
//! asks for it.
//!
//! # What goes wrong in practice
//!
//! - **`Leased`**: a `with` inside of a `with` of the same value. Take what you need out of the
//!   value first, or pass the `&mut T` on.
//! - **The value is gone in `on_close`**: `close_all` closes shared values with everything else.
//!   Check the answer of `with` there: an error means that there is nothing to remove from.
//! - **A loop for each core**: values of a loop stay in its thread. What loops share needs a
//!   lock or a channel, or [`Remote::post`](crate::Remote::post) to the loop that owns it.
#![forbid(unsafe_code)]
