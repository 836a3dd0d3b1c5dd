//! The handler of a signal, in the hands of the kernel.

use std::io;

use signal_hook::SigId;
use signal_hook::low_level;

/// A handler for one signal number. Dropping it takes it back.
pub(crate) struct Registration {
    number: i32,
    id: SigId,
}

impl Registration {
    /// `raise` gets the signal's bit: it may only touch atomics and write to a
    /// descriptor.
    pub(crate) fn new(
        number: i32,
        raise: impl Fn(u64) + Send + Sync + 'static,
    ) -> io::Result<Registration> {
        let forbidden = signal_hook::consts::FORBIDDEN.contains(&number);
        if forbidden || !(1..=64).contains(&number) {
            let text = format!("signal {number} cannot be watched");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let bit = 1 << (number - 1);
        // SAFETY: the action runs inside a signal handler, and is async-signal-safe:
        // `raise` sets an atomic and, once for many, writes to the poller's waker (an
        // eventfd or a pipe). It takes no lock and allocates nothing.
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
