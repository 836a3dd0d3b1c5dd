//! The signal handler that the kernel calls, and the self-pipe that it writes to.
//!
//! A handler that was installed stays: others may share it, and whether they do cannot be asked.
//! So that a signal which nobody watches any more does again what it did by default, an action
//! of its own does that while no registration is left. It exists only for a number that did its
//! default when it was registered first: then no handler was there that this could take the
//! signal from, and it was not ignored. It keeps still if another handler has been installed
//! over this one since.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::SigId;
use signal_hook::low_level;

use crate::sys::signals::describe;

/// Whether the number can be watched.
pub(crate) fn check(number: i32) -> io::Result<()> {
    if (1..=64).contains(&number) && !signal_hook::consts::FORBIDDEN.contains(&number) {
        return Ok(());
    }
    let text = format!("{} cannot be watched", describe(number));
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// A handler for one signal number. Dropping it takes it back.
pub(crate) struct Registration {
    number: i32,
    id: SigId,
    _watched: Watched,
}

/// How many registrations each number has.
static WATCHED: [AtomicUsize; 65] = [const { AtomicUsize::new(0) }; 65];

/// One of them.
struct Watched(i32);

impl Watched {
    fn new(number: i32) -> Watched {
        WATCHED[number as usize].fetch_add(1, Ordering::SeqCst);
        Watched(number)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        WATCHED[self.0 as usize].fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(unix)]
mod default {
    use std::io;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, PoisonError};

    use signal_hook::low_level;

    use super::WATCHED;

    /// Numbers that were looked at, a bit for each.
    static SEEN: Mutex<u64> = Mutex::new(0);

    /// What stood there after we came, for each number.
    static OURS: [AtomicUsize; 65] = [const { AtomicUsize::new(0) }; 65];

    /// Before the first registration of a number: whether it does its default now, and if so,
    /// that it does so again without one.
    pub(super) fn keep(number: i32) -> io::Result<()> {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        let bit = 1 << (number - 1);
        if *seen & bit == 0 {
            if disposition(number) == Some(libc::SIG_DFL) {
                // SAFETY: the action runs inside a signal handler, and is async-signal-safe: it
                // reads atomics, and calls sigaction(2) and what is documented as such. It takes
                // no lock and allocates nothing.
                unsafe { low_level::register(number, move || act(number)) }?;
                let ours = disposition(number).unwrap_or(libc::SIG_DFL);
                OURS[number as usize].store(ours, Ordering::SeqCst);
            }
            *seen |= bit;
        }
        Ok(())
    }

    /// In the handler: nobody of ours watches, and nobody else stands over it.
    fn act(number: i32) {
        let n = number as usize;
        if WATCHED[n].load(Ordering::SeqCst) == 0
            && disposition(number) == Some(OURS[n].load(Ordering::SeqCst))
        {
            // A number that is not known to have a default: nothing, as before.
            let _ = low_level::emulate_default_handler(number);
        }
    }

    /// The address of the handler, or what stands for default or ignored.
    fn disposition(number: i32) -> Option<libc::sighandler_t> {
        let mut now = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: with no new action the call only fills the one that it is given a valid
        // pointer to, and a zeroed `sigaction` is one.
        unsafe {
            let done = libc::sigaction(number, ptr::null(), now.as_mut_ptr());
            (done == 0).then(|| now.assume_init().sa_sigaction)
        }
    }
}

#[cfg(not(unix))]
mod default {
    use std::io;

    /// A console event that nobody watches any more does nothing.
    pub(super) fn keep(_: i32) -> io::Result<()> {
        Ok(())
    }
}

impl Registration {
    /// `raise` gets the signal's bit: it may only touch atomics and write to a self-pipe.
    pub(crate) fn new(
        number: i32,
        raise: impl Fn(u64) + Send + Sync + 'static,
    ) -> io::Result<Registration> {
        check(number)?;
        let bit = 1 << (number - 1);
        default::keep(number)?;
        let watched = Watched::new(number);
        // SAFETY: the action runs inside a signal handler, and is async-signal-safe:
        // `raise` sets an atomic and writes to a self-pipe, which is one write(2) to a socket that
        // does not block. It takes no lock and allocates nothing. (Where there are no
        // signals but console events, they come in a thread of their own.)
        let id = unsafe { low_level::register(number, move || raise(bit)) }?;
        Ok(Registration { number, id, _watched: watched })
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

pub(crate) use self_pipe::SelfPipe;

#[cfg(unix)]
mod self_pipe {
    use std::io::{self, Read, Write};
    use std::sync::Arc;

    use mio::net::UnixStream;

    /// A pair of sockets: a byte in it wakes the loop.
    pub(crate) struct SelfPipe {
        inner: UnixStream,
        writer: Arc<std::os::unix::net::UnixStream>,
    }

    impl SelfPipe {
        /// `register` tells the poller of it. (Where there is no pair, the writer calls the
        /// second function.)
        pub(crate) fn new(
            register: impl FnOnce(&mut UnixStream) -> io::Result<()>,
            _: impl Fn() + Send + Sync + 'static,
        ) -> io::Result<SelfPipe> {
            let (inner, writer) = std::os::unix::net::UnixStream::pair()?;
            inner.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            let mut inner = UnixStream::from_std(inner);
            register(&mut inner)?;
            Ok(SelfPipe { inner, writer: Arc::new(writer) })
        }

        /// Wakes the loop. A full socket has woken it already.
        pub(crate) fn writer(&self) -> impl Fn() + Send + Sync + 'static {
            let writer = self.writer.clone();
            move || drop((&*writer).write(&[1]))
        }

        /// Takes out every byte, so that the next one is announced.
        pub(crate) fn drain(&mut self) {
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
mod self_pipe {
    use std::io;
    use std::sync::Arc;

    use mio::net::TcpStream;

    /// No pipe: the handler runs in its own thread, which may take locks, so that it can
    /// `notify` the loop.
    pub(crate) struct SelfPipe(Arc<dyn Fn() + Send + Sync>);

    impl SelfPipe {
        pub(crate) fn new(
            _: impl FnOnce(&mut TcpStream) -> io::Result<()>,
            notify: impl Fn() + Send + Sync + 'static,
        ) -> io::Result<SelfPipe> {
            Ok(SelfPipe(Arc::new(notify)))
        }

        pub(crate) fn writer(&self) -> impl Fn() + Send + Sync + 'static {
            let notify = self.0.clone();
            move || notify()
        }

        pub(crate) fn drain(&mut self) {}
    }
}
