//! The handler of a signal, in the hands of the kernel, and the bell that it rings.

use std::io;

use signal_hook::SigId;
use signal_hook::low_level;

/// Whether the number can be watched.
pub(crate) fn check(number: i32) -> io::Result<()> {
    if (1..=64).contains(&number) && !signal_hook::consts::FORBIDDEN.contains(&number) {
        return Ok(());
    }
    let text = format!("signal {number} cannot be watched");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// A handler for one signal number. Dropping it takes it back.
pub(crate) struct Registration {
    number: i32,
    id: SigId,
}

impl Registration {
    /// `raise` gets the signal's bit: it may only touch atomics and pull a bell's rope.
    pub(crate) fn new(
        number: i32,
        raise: impl Fn(u64) + Send + Sync + 'static,
    ) -> io::Result<Registration> {
        check(number)?;
        let bit = 1 << (number - 1);
        // SAFETY: the action runs inside a signal handler, and is async-signal-safe:
        // `raise` sets an atomic and pulls a rope, which is one write(2) to a socket that
        // does not block. It takes no lock and allocates nothing. (Where there are no
        // signals but console events, they come in a thread of their own.)
        let id = unsafe { low_level::register(number, move || raise(bit)) }?;
        Ok(Registration { number, id })
    }

    pub(crate) fn number(&self) -> i32 {
        self.number
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        low_level::unregister(self.id);
    }
}

pub(crate) use bell::Bell;

#[cfg(unix)]
mod bell {
    use std::io::{self, Read, Write};
    use std::sync::Arc;

    use mio::net::UnixStream;

    use crate::remote::Remote;

    /// A pair of sockets: a byte in it wakes the loop.
    pub(crate) struct Bell {
        inner: UnixStream,
        rope: Arc<std::os::unix::net::UnixStream>,
    }

    impl Bell {
        pub(crate) fn new(
            register: impl FnOnce(&mut UnixStream) -> io::Result<()>,
            _: Remote,
        ) -> io::Result<Bell> {
            let (inner, rope) = std::os::unix::net::UnixStream::pair()?;
            inner.set_nonblocking(true)?;
            rope.set_nonblocking(true)?;
            let mut inner = UnixStream::from_std(inner);
            register(&mut inner)?;
            Ok(Bell { inner, rope: Arc::new(rope) })
        }

        /// Rings it. If its socket is full, it rings already.
        pub(crate) fn rope(&self) -> impl Fn() + Send + Sync + 'static {
            let rope = self.rope.clone();
            move || drop((&*rope).write(&[1]))
        }

        /// Takes out every byte, so that the next one is announced.
        pub(crate) fn silence(&mut self) {
            let mut bytes = [0; 64];
            loop {
                match self.inner.read(&mut bytes) {
                    Ok(n) if n > 0 => {}
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    _ => return,
                }
            }
        }
    }
}

#[cfg(not(unix))]
mod bell {
    use std::io;

    use mio::net::TcpStream;

    use crate::remote::Remote;

    /// The poller's own waker: what it wakes is the inbox, which rings on.
    pub(crate) struct Bell(Remote);

    impl Bell {
        pub(crate) fn new(
            _: impl FnOnce(&mut TcpStream) -> io::Result<()>,
            remote: Remote,
        ) -> io::Result<Bell> {
            Ok(Bell(remote))
        }

        pub(crate) fn rope(&self) -> impl Fn() + Send + Sync + 'static {
            let remote = self.0.clone();
            move || drop(remote.post(crate::signal::ring))
        }

        pub(crate) fn silence(&mut self) {}
    }
}
