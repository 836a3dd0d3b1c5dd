//! Ctrl-C and SIGTERM for the examples that run until they are told to stop.

use std::io;

use tidegate::prelude::*;

/// Stops the loop at Ctrl-C or SIGTERM. The thread sleeps until then.
#[cfg(unix)]
pub(crate) fn stop_on_signals(lp: &mut Loop) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let remote = lp.as_cx().remote();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            // The loop may be gone already.
            let _ = remote.post(|cx| cx.stop());
        }
    });
    Ok(())
}

/// Elsewhere Ctrl-C ends the process, which closes everything as well.
#[cfg(not(unix))]
pub(crate) fn stop_on_signals(_: &mut Loop) -> io::Result<()> {
    Ok(())
}
