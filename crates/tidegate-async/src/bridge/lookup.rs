//! [`lookup`]: the addresses of a name, from the system's resolver.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidegate_loop::kind::Kind;
use tidegate_loop::{Cx, Key};
use tidegate_net::{Asker, Net};

use crate::error::not_on_loop::NotOnLoop;
use crate::state::answer::AnswerAt;
use crate::state::janitor::{act, home};
use crate::state::layer::ASYNC;
use crate::sys::current;
use crate::tasks::wake::wake;
use crate::wake::home::{Home, Note};
use crate::wake::waiter::{Waiter, Waits};

/// The addresses of a name, in the order of the system's resolver. One lookup runs for all that ask
/// for the same name meanwhile. Connections need none of this: [`connect`](crate::connect) takes
/// names.
///
/// ```
/// use tidegate_async::{BlockOn, lookup};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let found = lp.block_on(lookup("localhost"))??;
/// assert!(found.iter().any(|ip| ip.is_loopback()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lookup(name: impl Into<String>) -> Lookup {
    Lookup { name: name.into(), asked: None }
}

/// The future of [`lookup`].
///
/// ```
/// fn is_send(_: impl Send + Sync) {}
/// is_send(tidegate_async::lookup("localhost"));
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Lookup {
    name: String,
    asked: Option<Asked>,
}

struct Asked {
    key: Key,
    answer: AnswerAt,
    home: Arc<Home>,
}

/// One that is under way; it keeps the loop alive. Its data is the place of its answer.
static LOOKUP: Kind = Kind::new("lookup", ASYNC.owner())
    .closed(|d, key, _| {
        let closed = io::Error::new(io::ErrorKind::Interrupted, "the lookup was closed");
        found(&mut d.cx(), key, Err(closed));
    })
    .describe(|_, _, _| "a name that a task asked for".into());

type Found = io::Result<Vec<SocketAddr>>;

fn found(cx: &mut Cx<'_>, key: Key, found: Found) {
    let (layer, mut driver) = cx.layer(&ASYNC);
    let Some(handle) = driver.handle(ASYNC.owner(), key) else { return };
    let answer = layer.answers.of(handle.data() as usize);
    handle.free();
    let put = answer.map(|answer| layer.answers.put(answer, Box::new(found)));
    if let Some(Ok(waiter)) = put {
        wake(cx, waiter);
    }
}

enum Step {
    Waits(Waiter),
    Done(Found),
}

impl Future for Lookup {
    type Output = io::Result<Vec<IpAddr>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let step = current::with(|frame| {
            let by = Waits::new(frame, cx.waker());
            let mut cx = frame.cx();
            if this.asked.is_none() {
                match ask(&mut cx, &this.name) {
                    Ok(asked) => this.asked = Some(asked),
                    Err(e) => return Step::Done(Err(e)),
                }
            }
            let layer = cx.layer(&ASYNC).0;
            match &this.asked {
                Some(asked) if layer.is_home(&asked.home) => {
                    match layer.answers.take(asked.answer).map(|found| found.downcast::<Found>()) {
                        Some(Ok(found)) => Step::Done(*found),
                        Some(Err(_)) | None => Step::Waits(layer.answers.wait(asked.answer, by)),
                    }
                }
                _ => Step::Done(Err(NotOnLoop::Foreign.into())),
            }
        });
        match step.unwrap_or_else(|e| Step::Done(Err(NotOnLoop::from(e).into()))) {
            Step::Waits(before) => {
                drop(before);
                Poll::Pending
            }
            Step::Done(found) => {
                this.let_go();
                Poll::Ready(found.map(|found| found.iter().map(SocketAddr::ip).collect()))
            }
        }
    }
}

fn ask(cx: &mut Cx<'_>, name: &str) -> io::Result<Asked> {
    let home = home(cx)?;
    let (layer, mut driver) = cx.layer(&ASYNC);
    let answer = layer.answers.expect();
    let key = match driver.insert(&LOOKUP, answer.at as u64) {
        Ok(handle) => handle.key(),
        Err(full) => {
            layer.answers.forget(answer);
            return Err(full.into());
        }
    };
    let waits = |cx: &mut Cx<'_>, key| cx.is_open(key);
    let asked = Asked { key, answer, home };
    match cx.lookup(name, Asker { key, waits, answer: found }) {
        Ok(()) => Ok(asked),
        Err(e) => {
            stop(cx, Note { act: stop, key, at: answer.at, number: answer.number });
            Err(e)
        }
    }
}

fn stop(cx: &mut Cx<'_>, note: Note) {
    let (layer, mut driver) = cx.layer(&ASYNC);
    if let Some(handle) = driver.handle(ASYNC.owner(), note.key) {
        handle.free();
    }
    let answer = AnswerAt { at: note.at, number: note.number };
    if let Some(left) = layer.answers.forget(answer) {
        driver.bury(left);
    }
}

impl Lookup {
    fn let_go(&mut self) {
        if let Some(Asked { key, answer, home }) = self.asked.take() {
            let AnswerAt { at, number } = answer;
            act(&home, Note { act: stop, key, at, number });
        }
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("name", &self.name).finish_non_exhaustive()
    }
}
