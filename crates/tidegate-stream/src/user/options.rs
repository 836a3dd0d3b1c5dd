//! [`ReadableOptions`] and [`WritableOptions`].
#![forbid(unsafe_code)]

/// Options of a readable stream.
///
/// ```
/// use tidegate_stream::ReadableOptions;
/// let options = ReadableOptions::new().high_water_mark(1024).pull(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct ReadableOptions {
    pub(crate) high_water_mark: usize,
    pub(crate) read_limit: Option<usize>,
    pub(crate) pull: bool,
}

impl Default for ReadableOptions {
    fn default() -> ReadableOptions {
        ReadableOptions { high_water_mark: 64 * 1024, read_limit: None, pull: false }
    }
}

impl ReadableOptions {
    /// The defaults.
    pub fn new() -> ReadableOptions {
        ReadableOptions::default()
    }

    /// When this many bytes wait, the stream no longer calls its source, and a push returns `Full`.
    /// Default: 64 KiB.
    pub fn high_water_mark(mut self, bytes: usize) -> ReadableOptions {
        self.high_water_mark = bytes;
        self
    }

    /// A push while more bytes than this wait destroys the stream. Default: the loop's
    /// `write_limit`.
    pub fn read_limit(mut self, bytes: usize) -> ReadableOptions {
        self.read_limit = Some(bytes);
        self
    }

    /// Whether the reader takes the bytes itself, by
    /// [`ReadableCx::read`](crate::ReadableCx::read) when
    /// [`ReadHandler::on_readable`](crate::ReadHandler::on_readable) is called, instead of getting them
    /// in `on_data`. Default: false.
    pub fn pull(mut self, pull: bool) -> ReadableOptions {
        self.pull = pull;
        self
    }
}

/// Options of a writable stream.
///
/// ```
/// use tidegate_stream::WritableOptions;
/// let options = WritableOptions::new().high_water_mark(1024).gather(1);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct WritableOptions {
    pub(crate) high_water_mark: usize,
    pub(crate) write_limit: Option<usize>,
    pub(crate) gather: usize,
}

impl Default for WritableOptions {
    fn default() -> WritableOptions {
        WritableOptions { high_water_mark: 64 * 1024, write_limit: None, gather: 64 }
    }
}

impl WritableOptions {
    /// The defaults.
    pub fn new() -> WritableOptions {
        WritableOptions::default()
    }

    /// When this many bytes are queued, a write returns `Full`. Default: 64 KiB.
    pub fn high_water_mark(mut self, bytes: usize) -> WritableOptions {
        self.high_water_mark = bytes;
        self
    }

    /// A write while the queue holds more bytes of memory than this destroys the stream.
    /// Default: the loop's `write_limit`.
    pub fn write_limit(mut self, bytes: usize) -> WritableOptions {
        self.write_limit = Some(bytes);
        self
    }

    /// At most this many chunks are given to the sink in one call. Default: 64.
    ///
    /// With 1 each write is one chunk and one call, whatever its size. With more, writes of less
    /// than 1 KiB that wait behind each other are joined to chunks of at most 16 KiB; larger ones
    /// stay as they are. An empty write is no chunk. With 1, small writes cost more memory than
    /// their bytes, and that counts against [`write_limit`](WritableOptions::write_limit).
    pub fn gather(mut self, chunks: usize) -> WritableOptions {
        self.gather = chunks.max(1);
        self
    }
}
