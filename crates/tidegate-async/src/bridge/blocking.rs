//! [`blocking`]: the result of a job on another thread.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidegate_loop::{Cx, WorkError, WorkKey};

use crate::error::blocking::BlockingError;
use crate::error::not_on_loop::NotOnLoop;
use crate::state::answer::AnswerAt;
use crate::state::janitor::{act, home};
use crate::state::layer::ASYNC;
use crate::sys::current;
use crate::tasks::wake::wake;
use crate::wake::home::{Home, Note};
use crate::wake::waiter::{Waiter, Waits};

/// Runs `job` on a thread of the loop's pool, from the first poll on. Dropping the future cancels a
/// job that no thread has begun; one that runs goes on, and its result is dropped. See
/// [`Cx::work`](tidegate_loop::Cx::work).
///
/// ```
/// use tidegate_async::{BlockOn, blocking};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let text = lp.block_on(blocking(|| std::fs::read_to_string("/etc/hostname")))?;
/// println!("{:?}", text?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn blocking<T, J>(job: J) -> Blocking<T, J>
where
    T: Send + 'static,
    J: FnOnce() -> T + Send + 'static,
{
    Blocking { job: Some(job), asked: None, result: PhantomData }
}

/// The future of [`blocking`].
///
/// ```
/// fn is_send(_: impl Send) {}
/// is_send(tidegate_async::blocking(|| 42));
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Blocking<T, J> {
    job: Option<J>,
    asked: Option<Asked>,
    result: PhantomData<fn() -> T>,
}

/// The job is no future: nothing in here is pinned.
impl<T, J> Unpin for Blocking<T, J> {}

struct Asked {
    work: WorkKey,
    answer: AnswerAt,
    home: Arc<Home>,
}

fn done<T: 'static>(cx: &mut Cx<'_>, answer: AnswerAt, result: Result<T, WorkError>) {
    // What nobody wants is dropped here, in a callback.
    if let Ok(waiter) = cx.layer(&ASYNC).0.answers.put(answer, Box::new(result)) {
        wake(cx, waiter);
    }
}

fn cancel(cx: &mut Cx<'_>, note: Note) {
    let answer = AnswerAt { at: note.at, number: note.number };
    let (layer, mut driver) = cx.layer(&ASYNC);
    if let Some(left) = layer.answers.forget(answer) {
        driver.bury(left);
    }
    // One that runs goes on.
    let _ = cx.close(note.key);
}

enum Step {
    Waits(Waiter),
    Done(Box<dyn Any>),
    Failed(BlockingError),
}

impl<T, J> Future for Blocking<T, J>
where
    T: Send + 'static,
    J: FnOnce() -> T + Send + 'static,
{
    type Output = Result<T, BlockingError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let step = current::with(|frame| {
            let by = Waits::new(frame, cx.waker());
            let mut cx = frame.cx();
            if let Some(job) = this.job.take() {
                match ask(&mut cx, job) {
                    Ok(asked) => this.asked = Some(asked),
                    Err(e) => return Step::Failed(e),
                }
            }
            let Some(asked) = &this.asked else { return Step::Failed(taken()) };
            let layer = cx.layer(&ASYNC).0;
            if !layer.is_home(&asked.home) {
                return Step::Failed(NotOnLoop::Foreign.into());
            }
            match layer.answers.take(asked.answer) {
                Some(result) => Step::Done(result),
                None => Step::Waits(layer.answers.wait(asked.answer, by)),
            }
        });
        match step.unwrap_or_else(|e| Step::Failed(NotOnLoop::from(e).into())) {
            Step::Waits(before) => {
                drop(before);
                Poll::Pending
            }
            Step::Failed(e) => Poll::Ready(Err(e)),
            Step::Done(result) => {
                this.let_go();
                match result.downcast::<Result<T, WorkError>>() {
                    Ok(result) => Poll::Ready(result.map_err(BlockingError::Work)),
                    Err(_) => Poll::Ready(Err(taken())),
                }
            }
        }
    }
}

fn ask<T, J>(cx: &mut Cx<'_>, job: J) -> Result<Asked, BlockingError>
where
    T: Send + 'static,
    J: FnOnce() -> T + Send + 'static,
{
    let home = home(cx).map_err(|full| BlockingError::Refused(full.into()))?;
    let answer = cx.layer(&ASYNC).0.answers.expect();
    match cx.work(job, move |cx, result| done(cx, answer, result)) {
        Ok(work) => Ok(Asked { work, answer, home }),
        Err(refused) => {
            cx.layer(&ASYNC).0.answers.forget(answer);
            let text = refused.to_string();
            // It has the job, which is a user's.
            cx.driver().bury(refused);
            Err(BlockingError::Refused(io::Error::new(io::ErrorKind::WouldBlock, text)))
        }
    }
}

fn taken() -> BlockingError {
    BlockingError::Refused(io::Error::other("the result was taken before"))
}

impl<T, J> Blocking<T, J> {
    fn let_go(&mut self) {
        if let Some(Asked { work, answer, home }) = self.asked.take() {
            let AnswerAt { at, number } = answer;
            act(&home, Note { act: cancel, key: work.into(), at, number });
        }
    }
}

impl<T, J> Drop for Blocking<T, J> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl<T, J> fmt::Debug for Blocking<T, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("begun", &self.job.is_none()).finish_non_exhaustive()
    }
}
