//! [`signals`]: signals of the process, one after the other.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidegate_loop::{Cx, SignalKey};

use crate::error::not_on_loop::NotOnLoop;
use crate::state::answer::AnswerAt;
use crate::state::janitor::{act, home};
use crate::state::layer::ASYNC;
use crate::sys::current;
use crate::tasks::wake::wake;
use crate::wake::home::{Home, Note};
use crate::wake::waiter::Waits;

/// Watches the signals of this number, in a task. Several that come before the task looks are one.
/// As [`Cx::signal`](tidegate_loop::Cx::signal) it keeps no loop alive; the task that waits does.
///
/// ```
/// use tidegate_async::{BlockOn, signals};
/// use tidegate_loop::{AsCx, Loop, signals::SIGUSR1};
/// let mut lp = Loop::new()?;
/// lp.block_on(async {
///     let mut signals = signals(SIGUSR1)?;
///     std::process::Command::new("kill").args(["-USR1", &std::process::id().to_string()]).status()?;
///     signals.next().await
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn signals(number: i32) -> io::Result<Signals> {
    let watched = current::with(|frame| {
        let mut cx = frame.cx();
        let home = home(&mut cx)?;
        let answer = cx.layer(&ASYNC).0.answers.expect();
        match cx.signal(number, move |cx, _, _| came(cx, answer)) {
            Ok(key) => Ok(Signals { key, answer, home }),
            Err(e) => {
                cx.layer(&ASYNC).0.answers.forget(answer);
                Err(e)
            }
        }
    });
    watched.map_err(NotOnLoop::from)?
}

/// The signals of one number. Made by [`signals`]; dropping it ends the watch.
///
/// ```
/// async fn wait(mut signals: tidegate_async::Signals) -> std::io::Result<()> {
///     signals.next().await
/// }
/// # let _ = wait;
/// ```
pub struct Signals {
    key: SignalKey,
    answer: AnswerAt,
    home: Arc<Home>,
}

fn came(cx: &mut Cx<'_>, answer: AnswerAt) {
    // A box of nothing allocates nothing.
    if let Ok(waiter) = cx.layer(&ASYNC).0.answers.put(answer, Box::new(())) {
        wake(cx, waiter);
    }
}

impl Signals {
    /// The next signal.
    pub async fn next(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`next`](Signals::next) as a poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let came = current::with(|frame| {
            let by = Waits::new(frame, cx.waker());
            let mut cx = frame.cx();
            let layer = cx.layer(&ASYNC).0;
            if !layer.is_home(&self.home) {
                return Err(NotOnLoop::Foreign);
            }
            Ok(match layer.answers.take(self.answer) {
                Some(_) => Ok(()),
                None => Err(layer.answers.wait(self.answer, by)),
            })
        });
        match came.map_err(NotOnLoop::from) {
            Ok(Ok(Ok(()))) => Poll::Ready(Ok(())),
            Ok(Ok(Err(before))) => {
                drop(before);
                Poll::Pending
            }
            Ok(Err(e)) | Err(e) => Poll::Ready(Err(e.into())),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let AnswerAt { at, number } = self.answer;
        act(&self.home, Note { act: stop, key: self.key.into(), at, number });
    }
}

fn stop(cx: &mut Cx<'_>, note: Note) {
    let (layer, mut driver) = cx.layer(&ASYNC);
    let answer = AnswerAt { at: note.at, number: note.number };
    if let Some(left) = layer.answers.forget(answer) {
        driver.bury(left);
    }
    // It may have been closed by its key.
    let _ = cx.close(note.key);
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").field(&self.key).finish()
    }
}
