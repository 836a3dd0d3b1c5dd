//! [`Job`]: a future with its waker and its result, in one box.
#![forbid(unsafe_code)]

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::sys::current::{self, Frame};

pub(crate) trait Job {
    /// Polls the future, which finds the loop in the frame. When it is ready, the result takes its
    /// place.
    fn poll<'a>(self: Pin<&'a mut Self>, frame: &mut Frame<'a>) -> Poll<()>;

    /// Moves the result into an `Option<T>`, if it is there and `T` is its type.
    fn take(self: Pin<&mut Self>, into: &mut dyn Any);
}

pin_project! {
    pub(crate) struct Boxed<F: Future> {
        waker: Waker,
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[project = Project]
    enum Stage<F: Future> {
        Runs { #[pin] future: F },
        Done { value: Option<F::Output> },
    }
}

impl<F: Future> Boxed<F> {
    pub(crate) fn new(future: F, waker: Waker) -> Boxed<F> {
        Boxed { waker, stage: Stage::Runs { future } }
    }
}

impl<F: Future> Job for Boxed<F>
where
    F::Output: 'static,
{
    fn poll<'a>(self: Pin<&'a mut Self>, frame: &mut Frame<'a>) -> Poll<()> {
        let mut this = self.project();
        let waker = &*this.waker;
        frame.set_waker(waker);
        current::enter(frame, || {
            let polled = match this.stage.as_mut().project() {
                Project::Runs { future } => future.poll(&mut Context::from_waker(waker)),
                Project::Done { .. } => return Poll::Ready(()),
            };
            // The destructors of the future find the loop.
            polled.map(|value| this.stage.set(Stage::Done { value: Some(value) }))
        })
    }

    fn take(self: Pin<&mut Self>, into: &mut dyn Any) {
        if let Project::Done { value } = self.project().stage.project() {
            if let Some(into) = into.downcast_mut::<Option<F::Output>>() {
                *into = value.take();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use tidegate_loop::{AsCx, Loop};

    fn boxed<F: Future<Output = String> + 'static>(future: F) -> Pin<Box<dyn Job>> {
        Box::pin(Boxed::new(future, Waker::noop().clone()))
    }

    fn poll(job: &mut Pin<Box<dyn Job>>) -> Poll<()> {
        let mut lp = Loop::new().unwrap();
        job.as_mut().poll(&mut Frame::beside(lp.cx(), &mut None))
    }

    #[test]
    fn the_result_comes_once_and_by_its_type() {
        let mut job = boxed(ready("tide".to_owned()));
        assert!(poll(&mut job).is_ready() && poll(&mut job).is_ready());
        let mut wrong: Option<u32> = None;
        job.as_mut().take(&mut wrong);
        let mut right: Option<String> = None;
        job.as_mut().take(&mut right);
        assert_eq!((wrong, right.take().as_deref()), (None, Some("tide")));
        job.as_mut().take(&mut right);
        assert_eq!(right, None);
    }

    #[test]
    fn one_that_runs_has_none() {
        let mut job = boxed(pending());
        assert!(poll(&mut job).is_pending());
        let mut none: Option<String> = None;
        job.as_mut().take(&mut none);
        assert_eq!(none, None);
    }
}
