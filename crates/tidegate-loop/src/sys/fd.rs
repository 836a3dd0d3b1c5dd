//! Unix: any descriptor as a source.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// Something that owns a descriptor (an `OwnedFd`, a `File` made of a pipe or an
/// eventfd), as a source for [`Cx::watch`](crate::Cx::watch). It derefs to what it
/// wraps. Unix only.
///
/// ```
/// use std::fs::File;
/// use std::io::{Read, Write};
/// use std::os::fd::OwnedFd;
/// use tidegate_loop::{AsCx, Loop};
/// use tidegate_loop::event::{Fd, Interest};
/// let mut lp = Loop::new()?;
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// let reader = Fd::new(File::from(OwnedFd::from(reader)))?;
/// lp.watch(reader, Interest::READABLE, |cx, key, pipe, ready| {
///     let mut text = String::new();
///     if ready.try_io(Interest::READABLE, || pipe.read_to_string(&mut text)).is_ok() {
///         assert_eq!(text, "high water");
///         cx.close(key).unwrap();
///     }
/// })?;
/// writer.write_all(b"high water")?;
/// drop(writer);
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fd<T: AsFd>(T);

impl<T: AsFd> Fd<T> {
    /// Makes the descriptor non-blocking, also for others that share it.
    pub fn new(inner: T) -> io::Result<Fd<T>> {
        let fd = inner.as_fd().as_raw_fd();
        // SAFETY: the descriptor is open, `inner` proves it; F_GETFL takes no pointer.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        // SAFETY: as above; F_SETFL takes an int.
        if flags < 0 || unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Fd(inner))
    }

    /// What it wraps, non-blocking as it is now.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsFd> Deref for Fd<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: AsFd> DerefMut for Fd<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: AsFd> Source for Fd<T> {
    fn register(&mut self, r: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).register(r, token, interest)
    }

    fn reregister(&mut self, r: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).reregister(r, token, interest)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).deregister(r)
    }
}

impl<T: AsFd + io::Read> io::Read for Fd<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<T: AsFd + io::Write> io::Write for Fd<T> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
