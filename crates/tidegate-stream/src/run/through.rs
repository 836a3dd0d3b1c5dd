//! [`Through`]: the transforms of a pipe. One step goes through all of them, from the first that has
//! something to do; what comes out of the last is for the sink.
#![forbid(unsafe_code)]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate_loop::Cx;

use crate::ends::Transform;
use crate::error::{BoxError, StreamError};

/// The transforms and what each made last.
pub(crate) struct Through {
    stages: Vec<(Box<dyn Transform>, BytesMut)>,
    /// The one that runs.
    pub(crate) at: usize,
    limit: usize,
    /// How long a stage holds bytes back.
    pub(crate) wait: Option<Duration>,
}

/// What goes through.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    Chunk(&'a [u8]),
    /// The time has passed for which a stage held bytes back.
    GoOn,
    /// There are no more chunks.
    Flush,
}

impl Through {
    /// A stage whose output is longer than `limit` fails.
    pub(crate) fn new(stages: Vec<Box<dyn Transform>>, limit: usize) -> Option<Through> {
        let stages: Vec<_> = stages.into_iter().map(|t| (t, BytesMut::new())).collect();
        (!stages.is_empty()).then_some(Through { stages, at: 0, limit, wait: None })
    }

    pub(crate) fn run(
        &mut self,
        cx: &mut Cx<'_>,
        step: Step<'_>,
    ) -> Result<Bytes, (usize, StreamError)> {
        let mut before: Option<Bytes> = None;
        self.wait = None;
        for (i, (stage, out)) in self.stages.iter_mut().enumerate() {
            self.at = i;
            let failed = |e: BoxError| (i, StreamError::from(e));
            if matches!(step, Step::GoOn) && stage.wait().is_some() {
                stage.go_on(cx, out).map_err(failed)?;
            }
            let input = match step {
                Step::Chunk(chunk) if i == 0 => Some(chunk),
                _ => before.as_deref(),
            };
            if let Some(input) = input.filter(|input| !input.is_empty()) {
                stage.transform(cx, input, out).map_err(failed)?;
            }
            if matches!(step, Step::Flush) {
                stage.flush(cx, out).map_err(failed)?;
            }
            if out.len() > self.limit {
                return Err((i, StreamError::Limit { queued: out.len(), limit: self.limit }));
            }
            before = Some(out.split().freeze());
            self.wait = [self.wait, stage.wait()].into_iter().flatten().min();
        }
        Ok(before.unwrap_or_default())
    }
}
