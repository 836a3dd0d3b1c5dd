//! [`Answers`]: values that callbacks of the loop bring and futures wait for: the result of a job,
//! the addresses of a name, a timer, a signal.
//!
//! A future has the place of its answer and a number, which no other answer has.
#![forbid(unsafe_code)]

use std::any::Any;
use std::task::Waker;

use slab::Slab;
use tidegate_loop::TimerKey;

use crate::wake::waiter::{Waiter, Waits};

/// The place of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AnswerAt {
    pub(crate) at: usize,
    pub(crate) number: u64,
}

/// What is left of an answer that nobody wants: code of users is dropped with it.
#[allow(dead_code)] // only to be dropped
pub(crate) struct Left {
    value: Option<Box<dyn Any>>,
    waker: Option<Waker>,
}

#[derive(Default)]
pub(crate) struct Answers {
    all: Slab<Answer>,
    numbers: u64,
}

struct Answer {
    number: u64,
    value: Option<Box<dyn Any>>,
    waiter: Waiter,
    /// What brings it, if that is a timer.
    timer: Option<TimerKey>,
}

impl Answers {
    /// Somebody will wait for an answer.
    pub(crate) fn expect(&mut self) -> AnswerAt {
        self.numbers += 1;
        let (value, waiter) = (None, Waiter::Nobody);
        let answer = Answer { number: self.numbers, value, waiter, timer: None };
        AnswerAt { at: self.all.insert(answer), number: self.numbers }
    }

    fn get(&mut self, at: AnswerAt) -> Option<&mut Answer> {
        self.all.get_mut(at.at).filter(|a| a.number == at.number)
    }

    /// The answer that has this place now.
    pub(crate) fn of(&self, at: usize) -> Option<AnswerAt> {
        self.all.get(at).map(|answer| AnswerAt { at, number: answer.number })
    }

    /// This timer brings it.
    pub(crate) fn set_timer(&mut self, at: AnswerAt, by: TimerKey) {
        if let Some(answer) = self.get(at) {
            answer.timer = Some(by);
        }
    }

    /// The timer that brings it.
    pub(crate) fn timer(&mut self, at: AnswerAt) -> Option<TimerKey> {
        self.get(at)?.timer
    }

    /// The answer came. Who is to be woken; or the answer again, if nobody wants it.
    pub(crate) fn put(
        &mut self,
        at: AnswerAt,
        value: Box<dyn Any>,
    ) -> Result<Waiter, Box<dyn Any>> {
        match self.get(at) {
            Some(answer) => {
                answer.value = Some(value);
                Ok(answer.waiter.take())
            }
            None => Err(value),
        }
    }

    /// Takes the answer, if it came. Its place is kept for another.
    pub(crate) fn take(&mut self, at: AnswerAt) -> Option<Box<dyn Any>> {
        self.get(at)?.value.take()
    }

    /// Who waits for it from here on. Returns who did before.
    pub(crate) fn wait(&mut self, at: AnswerAt, by: Waits<'_>) -> Waiter {
        self.get(at).map_or(Waiter::Nobody, |answer| answer.waiter.keep(by))
    }

    /// Nobody waits for it any more: its place is free. What is left, for the caller to drop where
    /// nothing of the loop is borrowed.
    pub(crate) fn forget(&mut self, at: AnswerAt) -> Option<Left> {
        self.get(at)?;
        let Answer { value, waiter, .. } = self.all.remove(at.at);
        let waker = match waiter {
            Waiter::Other(waker) => Some(waker),
            _ => None,
        };
        (value.is_some() || waker.is_some()).then_some(Left { value, waker })
    }

    /// Whether anybody waits.
    pub(crate) fn has_waiters(&self) -> bool {
        self.all.iter().any(|(_, answer)| answer.waiter.waits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_one_question() {
        let mut answers = Answers::default();
        let first = answers.expect();
        assert!(answers.take(first).is_none() && answers.forget(first).is_none());
        let second = answers.expect();
        assert_eq!(first.at, second.at);
        assert!(answers.put(first, Box::new(1)).is_err(), "its place has another");
        assert!(answers.put(second, Box::new(2)).is_ok());
        assert_eq!(answers.take(second).unwrap().downcast_ref(), Some(&2));
        assert!(answers.put(second, Box::new(3)).is_ok(), "one may come again");
        assert!(answers.forget(second).is_some() && answers.forget(second).is_none());
    }
}
