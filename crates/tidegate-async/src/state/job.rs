//! [`Job`]: a future with its result, in one box.
#![forbid(unsafe_code)]

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pub(crate) trait Job {
    /// Polls the future. When it is ready, the result takes its place.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Moves the result into an `Option<T>`, if it is there and `T` is its type.
    fn take(self: Pin<&mut Self>, into: &mut dyn Any);
}

pin_project! {
    #[project = Project]
    pub(crate) enum Stage<F: Future> {
        Runs { #[pin] future: F },
        Done { value: Option<F::Output> },
    }
}

impl<F: Future> Job for Stage<F>
where
    F::Output: 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.as_mut().project() {
            Project::Runs { future } => match future.poll(cx) {
                Poll::Ready(value) => {
                    self.set(Stage::Done { value: Some(value) });
                    Poll::Ready(())
                }
                Poll::Pending => Poll::Pending,
            },
            Project::Done { .. } => Poll::Ready(()),
        }
    }

    fn take(self: Pin<&mut Self>, into: &mut dyn Any) {
        if let Project::Done { value } = self.project() {
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

    fn boxed<F: Future<Output = String> + 'static>(future: F) -> Pin<Box<dyn Job>> {
        Box::pin(Stage::Runs { future })
    }

    #[test]
    fn the_result_comes_once_and_by_its_type() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let mut job = boxed(ready("tide".to_owned()));
        assert!(job.as_mut().poll(cx).is_ready() && job.as_mut().poll(cx).is_ready());
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
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let mut job = boxed(pending());
        assert!(job.as_mut().poll(cx).is_pending());
        let mut none: Option<String> = None;
        job.as_mut().take(&mut none);
        assert_eq!(none, None);
    }
}
