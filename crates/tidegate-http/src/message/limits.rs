//! [`Limits`]: how large the parts of a message may be.
#![forbid(unsafe_code)]

/// How large the parts of a message may be. Beyond them it is refused.
///
/// ```
/// let limits = tidegate_http::codec::Limits { max_head: 8 * 1024, ..Default::default() };
/// assert_eq!(limits.max_headers, 100);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of the start line and the fields, with the empty line. Default 16 KiB; beyond it 431.
    pub max_head: u32,
    /// Fields of a head, and of trailers. Default 100, at most 128; beyond it 431.
    pub max_headers: u32,
    /// Bytes of the request's target. Default 8 KiB; beyond it 414.
    pub max_target: u32,
    /// Bytes of the extensions of all chunks of one body. Default 16 KiB; beyond it 413.
    pub max_chunk_extensions: u32,
    /// Bytes of the fields behind a chunked body. Default 16 KiB; beyond it 431.
    pub max_trailers: u32,
    /// Whether a request of HTTP/1.1 without `Host` is refused. Default true, as the standard
    /// wants it.
    pub require_host: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_head: 16 * 1024,
            max_headers: 100,
            max_target: 8 * 1024,
            max_chunk_extensions: 16 * 1024,
            max_trailers: 16 * 1024,
            require_host: true,
        }
    }
}
