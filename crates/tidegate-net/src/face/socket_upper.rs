//! What stands above a connection: its handler or protocol, and its filters.
#![forbid(unsafe_code)]

use tidegate_loop::event::Readiness;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::filter::Filter;
use crate::callbacks::handler::Handler;
use crate::callbacks::protocol::Protocol;
use crate::callbacks::upper::Upper;
use crate::socket::call::displaced;
use crate::state::layer::NET;
use crate::state::owed::Owed;
use crate::state::socket::Life;

impl SocketCx<'_> {
    /// Replaces the handler, from the next callback on. The old one is dropped
    /// after the current callback.
    pub fn set_handler(&mut self, handler: impl Handler) {
        self.set_upper(Upper::User(Box::new(handler)));
    }

    /// Gives the connection to a layer, from the next call on: see [`Protocol`]. What stood
    /// above it before, a handler, is dropped after the current callback; another protocol is
    /// told by [`Protocol::replaced`]. Bytes that came already and are the layer's can be given
    /// back by [`unread`](SocketCx::unread).
    ///
    /// `false`: the connection is over, or was not accepted yet, and no function of the protocol
    /// is called for it.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On, Protocol};
    /// static UPPER: Protocol = Protocol::new("upper case").data(|d, key, _, bytes| {
    ///     bytes.make_ascii_uppercase();
    ///     let _ = d.cx().socket(key).write(&*bytes);
    /// });
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     conn.accept(On::new().data(|s, chunk| {
    ///         // The first byte asks for it; the others are for the protocol.
    ///         assert_eq!(chunk[0], b'U');
    ///         s.set_protocol(&UPPER, 0);
    ///         s.unread(&chunk[1..]);
    ///     }));
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new()
    ///     .connect(|s| { let _ = s.end_with("Utide"); })
    ///     .data(|_, chunk| assert_eq!(chunk, b"TIDE")));
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_protocol(&mut self, protocol: &'static Protocol, data: u64) -> bool {
        self.look(|s| s.life != Life::Offered) == Some(true)
            && self.set_upper(Upper::Protocol(protocol, data))
    }

    /// Calls the protocol's [`woken`](Protocol::woken) in the pending phase. Does nothing for a
    /// connection that has a handler, or is over.
    pub fn wake(&mut self) {
        self.change(|s, h, _| {
            if s.duplex.is_open() {
                s.owed.add(Owed::WAKE);
                h.pend();
            }
        });
    }

    /// As [`wake`](SocketCx::wake), but in the next ready pass, and behind a read, if the connection
    /// reads: for a deadline, which shall not win over bytes that came before it.
    pub fn wake_after_read(&mut self) {
        self.change(|s, h, _| {
            if s.duplex.is_open() {
                s.owed.add(Owed::WAKE);
                if s.takes_bytes() {
                    h.assume(Readiness::READABLE);
                }
                h.queue();
            }
        });
    }

    /// Whether our side stays open after the peer's end: as the option
    /// [`allow_half_open`](crate::ConnectOptions::allow_half_open), for a connection that is there.
    /// For a layer that sees the peer's end as something to answer. It counts from the next
    /// dispatch on. Returns what it was.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     let on = On::new().end(|s| {
    ///                  let _ = s.end_with("the answer to all of it");
    ///     });
    ///     conn.accept(on).set_allow_half_open(true);
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new().connect(|s| s.end()));
    /// lp.run()?;
    /// # use tidegate_loop::AsCx;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_allow_half_open(&mut self, on: bool) -> bool {
        let before = self.change(|s, h, _| {
            let before = s.duplex.set_allow_half_open(on);
            if s.duplex.ends_with_peer() {
                h.queue();
            }
            before
        });
        before.unwrap_or(on)
    }

    /// Whether the connection is there.
    fn set_upper(&mut self, new: Upper) -> bool {
        let key = self.key;
        let (layer, mut d) = self.cx.layer(&NET);
        let (old, done) = match layer.lend_socket(&mut d, key) {
            Some((s, mut h)) => {
                let (old, read) = (std::mem::replace(&mut s.upper, new), s.duplex.read);
                s.steer_reads();
                if s.duplex.read != read {
                    s.go_on_reading(&mut h);
                }
                (old, true)
            }
            None => (new, false),
        };
        displaced(&mut self.cx, key, old);
        done
    }

    /// Puts a filter on the connection, in front of others that it has: nearest to the user. What
    /// was received and not delivered yet goes through it. On an open connection the filter is
    /// started by this call, and [`on_ready`](Handler::on_ready) comes later, when it is ready.
    pub fn set_filter(&mut self, filter: impl Filter) {
        let mut filter: Option<Box<dyn Filter>> = Some(Box::new(filter));
        self.change(|s, h, shared| {
            if s.duplex.is_open() {
                if let Some(filter) = filter.take() {
                    s.push_filter(h, shared, filter);
                }
            }
        });
        if let Some(filter) = filter {
            self.cx.driver().bury(filter);
        }
    }

    /// The filter of this type that is nearest to the user. After a change that lets it go on,
    /// call [`poke_filter`](SocketCx::poke_filter).
    pub fn filter<T: Filter>(&mut self) -> Option<&mut T> {
        let key = self.key;
        let (layer, mut d) = self.cx.layer(&NET);
        layer.lend_socket(&mut d, key).filter(|(s, _)| s.duplex.is_open())?.0.find_filter()
    }

    /// Calls [`Filter::poke`] of each filter in the pending phase: what they wait for has come.
    ///
    /// ```
    /// use tidegate_net::{Filter, FilterError, Passed, SocketCx};
    /// /// Lets nothing pass before it has a key.
    /// #[derive(Default)]
    /// struct Locked(Option<u8>);
    /// impl Filter for Locked {
    ///     fn start(&mut self, _: &mut Passed) -> Result<(), FilterError> {
    ///         Ok(()) // not ready
    ///     }
    ///     fn poke(&mut self, out: &mut Passed) -> Result<(), FilterError> {
    ///         if self.0.is_some() {
    ///             out.ready();
    ///         }
    ///         Ok(())
    ///     }
    ///     fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
    ///         out.up.extend_from_slice(wire);
    ///         Ok(())
    ///     }
    ///     fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
    ///         let key = self.0.ok_or("not ready")?;
    ///         out.down.extend(user.iter().map(|b| b ^ key));
    ///         Ok(user.len())
    ///     }
    /// }
    /// fn unlock(s: &mut SocketCx<'_>, key: u8) {
    ///     if let Some(locked) = s.filter::<Locked>() {
    ///         locked.0 = Some(key);
    ///     }
    ///     s.poke_filter();
    /// }
    /// # let _ = unlock;
    /// ```
    pub fn poke_filter(&mut self) {
        self.change(|s, h, _| s.poke(h));
    }
}
