//! How a connection that is there already is taken over: [`AdoptOptions`].
#![forbid(unsafe_code)]

use std::net::TcpStream as StdStream;

use crate::options::stream::{StreamOptions, stream_options};
use crate::sys;

/// How to take over a connection that exists already: the stream, and the options of a connection.
/// The options of the server or client that made it do not apply.
///
/// ```
/// use std::time::Duration;
/// use tidegate_loop::Loop;
/// use tidegate_net::{AdoptOptions, Net, On};
/// let there = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let stream = std::net::TcpStream::connect(there.local_addr()?)?;
/// let mut lp = Loop::new()?;
/// let options = AdoptOptions::new(stream)
///     .allow_half_open(true)
///     .high_water_mark(16 * 1024)
///     .idle_timeout(Duration::from_secs(30));
/// let key = lp.adopt(options, On::new())?;
/// assert_eq!(lp.socket(key).peer_addr(), Some(there.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AdoptOptions {
    pub(crate) adopted: StdStream,
    pub(crate) stream: StreamOptions,
}

stream_options!(AdoptOptions);

impl AdoptOptions {
    /// Takes it over with the default options.
    pub fn new(stream: impl Into<AdoptOptions>) -> AdoptOptions {
        stream.into()
    }
}

impl From<StdStream> for AdoptOptions {
    fn from(adopted: StdStream) -> AdoptOptions {
        AdoptOptions { adopted, stream: StreamOptions::default() }
    }
}

sys::from_unix_stream!(AdoptOptions);
