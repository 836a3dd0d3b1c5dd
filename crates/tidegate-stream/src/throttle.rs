//! [`Throttle`]: a stage of a pipe that lets bytes through at a rate.
#![forbid(unsafe_code)]

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tidegate_loop::Cx;

use crate::ends::Transform;
use crate::error::BoxError;
use crate::rate::{Bucket, Rate};

/// What passes at once when bytes wait: fewer wakes for a fast rate.
const PIECE: u64 = 64 * 1024;

/// Lets bytes through at a rate: give it to [`Streams::pipeline`](crate::Streams::pipeline). What may
/// not pass yet waits in it, and the pipe's source is paused meanwhile: at most one read, and what a
/// stage before it made of that.
///
/// ```
/// use tidegate_stream::{Rate, Throttle, Transform};
/// let at_most: Vec<Box<dyn Transform>> = vec![Box::new(Throttle::new(Rate::per_second(1 << 20)))];
/// # let _ = at_most;
/// ```
pub struct Throttle {
    rate: Rate,
    bucket: Bucket,
    waiting: BytesMut,
    wait: Option<Duration>,
}

impl Throttle {
    /// Bytes at this rate; its burst passes at once.
    pub fn new(rate: Rate) -> Throttle {
        Throttle { rate, bucket: Bucket::default(), waiting: BytesMut::new(), wait: None }
    }

    /// Passes on what may pass now, and says how long the next piece has to wait.
    fn pass(&mut self, now: Duration, out: &mut BytesMut) {
        let waits = self.waiting.len() as u64;
        let taken = self.bucket.take_some(now, waits, self.rate);
        out.extend_from_slice(&self.waiting[..taken as usize]);
        self.waiting.advance(taken as usize);
        let piece = (waits - taken).min(PIECE).min(self.rate.most().div_ceil(2));
        let mut trial = self.bucket;
        self.wait = match piece {
            0 => None,
            _ => Some(trial.take(now, piece, self.rate).err().unwrap_or(Duration::ZERO)),
        };
    }
}

impl Transform for Throttle {
    fn transform(
        &mut self,
        cx: &mut Cx<'_>,
        chunk: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), BoxError> {
        self.waiting.extend_from_slice(chunk);
        self.pass(cx.driver().clock(), out);
        Ok(())
    }

    fn go_on(&mut self, cx: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        self.pass(cx.driver().clock(), out);
        Ok(())
    }

    fn wait(&self) -> Option<Duration> {
        self.wait
    }
}
