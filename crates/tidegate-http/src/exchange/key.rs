//! [`ExchangeKey`]: names one request and its response.
#![forbid(unsafe_code)]

use std::fmt;

use tidegate_net::SocketKey;

/// The bits of [`ExchangeKey`] that hold the place of the connection. The other bits count its
/// exchanges.
const PLACE: u32 = 24;

/// The most exchanges that one connection can have.
pub(crate) const MOST_EXCHANGES: u64 = (1 << (64 - PLACE)) - 1;

/// Names an exchange: one request and its response. `Copy`; keep it to answer later, by
/// [`Http::exchange`](crate::Http::exchange). Once the exchange is over the key finds nothing, and
/// never the next exchange of the same connection.
///
/// ```
/// assert_eq!(size_of::<tidegate_http::ExchangeKey>(), 16);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeKey {
    pub(crate) socket: SocketKey,
    place: u64,
}

impl ExchangeKey {
    pub(crate) fn new(socket: SocketKey, at: usize, number: u64) -> ExchangeKey {
        // A loop has fewer handles than fit.
        ExchangeKey { socket, place: number << PLACE | at as u64 }
    }

    #[inline]
    pub(crate) fn at(self) -> usize {
        (self.place & ((1 << PLACE) - 1)) as usize
    }

    /// Its connection.
    pub fn socket(self) -> SocketKey {
        self.socket
    }

    /// Which one of its connection, counted from 1.
    #[inline]
    pub fn number(self) -> u64 {
        self.place >> PLACE
    }
}

impl fmt::Debug for ExchangeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exchange {} of {:?}", self.number(), self.socket)
    }
}
