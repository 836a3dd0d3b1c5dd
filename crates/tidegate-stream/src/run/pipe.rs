//! A pipe: what comes from one end goes to the other, at the pace of the slower.
//!
//! | state | sink full | drained | source ended | sink finished | an end failed, or closed early |
//! |---|---|---|---|---|---|
//! | Flowing | Full, pause | - | Ending, end the sink | Failing | Failing, destroy both |
//! | Full | pause again | Flowing, resume | Ending, end the sink | Failing | Failing, destroy both |
//! | Stuck | - | - | - | Failing | Failing, destroy both |
//! | Ending | - | - | - | Done | Failing, if it was the sink |
//! | Failing | - | - | - | - | keeps the first cause that is more than a close |
//!
//! `Stuck`: the sink refused bytes, because it has ended or writing broke; it will tell the
//! pipe which. In `Done` the pipe closes at once, in `Failing` after both ends are closed.
//!
//! A transform may hold bytes back for a while (`Hold`). Then the source is paused, and its end
//! waits, until the time has passed and the sink has room; then the transform goes on.
//!
//! An end may be written by a user and panic in any of its methods. Then the end has failed,
//! and the panic waits until the state of the pipe is consistent again. An end that panics
//! while it is destroyed or attached may never tell that it is closed: the pipe does not wait
//! for it.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate_loop::kind::{Dispatch, Kind, Runtime};
use tidegate_loop::{Cx, Key, TableFull};

use crate::ends::{PipeKey, ReadEnd, Transform, WriteEnd};
use crate::error::{PipeError, PipeStage, StreamError};
use crate::event::{PipeEvent, StreamEvent};
use crate::machine::chunk::Chunk;
use crate::machine::flow::Flow;
use crate::run::call::{call, caught};
use crate::run::layer::{Done, Hold, Pipe, Readable, STREAMS, SourceEnd, State, Writable};
use crate::run::row;
use crate::run::through::{Step, Through};

static PIPE: Kind = Kind::new("pipe", STREAMS.owner())
    .pending(|d, key, _| go_on(d, key))
    .close(|cx, key, _| {
        fail(cx, key, PipeStage::Pipe, StreamError::Destroyed);
        Ok(())
    })
    .closed(closed)
    .describe(|cx, key, _| {
        let (layer, d) = cx.layer(&STREAMS);
        layer.pipe(&d, key).map_or_else(String::new, |p| p.state.name().to_owned())
    });

/// Room for one read of a connection.
const SPARE: usize = 64 * 1024;

pub(crate) fn open(
    cx: &mut Cx<'_>,
    from: Rc<dyn ReadEnd>,
    through: Vec<Box<dyn Transform>>,
    to: Rc<dyn WriteEnd>,
    done: Done,
) -> Result<PipeKey, TableFull> {
    let (layer, mut d) = cx.layer(&STREAMS);
    let entry = layer.pipes.vacant_entry();
    let mut handle = match d.insert(&PIPE, entry.key() as u64) {
        Ok(handle) => handle,
        Err(full) => {
            d.bury(((from, to), (through, done)));
            return Err(full);
        }
    };
    handle.set_ref(false);
    let key = handle.key();
    let pipe = Pipe {
        state: State::Flowing,
        source: Some(from.clone()),
        sink: Some(to.clone()),
        through: Through::new(through, layer.limits.write_limit),
        spare: BytesMut::new(),
        done: Some(done),
        hold: Hold::No,
        end: SourceEnd::NotYet,
    };
    entry.insert(pipe);
    PipeKey(key).tell(&mut handle, || PipeEvent::Opened);
    let sink = caught(cx, |cx| to.attach(cx, PipeKey(key)));
    let source = caught(cx, |cx| from.attach(cx, PipeKey(key)));
    let (layer, d) = cx.layer(&STREAMS);
    if let Some(p) = layer.pipe(&d, key) {
        // An end of another pipe, or one that is over: this pipe neither closes it nor waits
        // for it.
        let refused_sink = p.sink.take_if(|_| matches!(sink, Some(Err(_))));
        let refused_source = p.source.take_if(|_| matches!(source, Some(Err(_))));
        let fails = matches!(p.state, State::Failing(_));
        if refused_source.is_some() || refused_sink.is_some() {
            cx.driver().bury(((refused_source, from), (refused_sink, to)));
        }
        if fails {
            // It was closed by an end, before the other was attached.
            destroy_ends(cx, key);
        }
    }
    let panicked = (source.is_none(), sink.is_none());
    match (source.unwrap_or(PANICKED), sink.unwrap_or(Err(StreamError::Panicked))) {
        (Err(e), _) => fail(cx, key, PipeStage::Source, e),
        (_, Err(e)) => fail(cx, key, PipeStage::Sink, e),
        (Ok(()), Ok(Flow::Ready)) => {}
        (Ok(()), Ok(_)) => full(cx, key),
    }
    if panicked.0 {
        give_up_source(cx, key, &StreamError::Panicked);
    }
    if panicked.1 {
        give_up_sink(cx, key, &StreamError::Panicked);
    }
    close_if_over(cx, key);
    Ok(PipeKey(key))
}

const PANICKED: Result<(), StreamError> = Err(StreamError::Panicked);

/// Calls an end. If it panics, it has failed.
fn ask<R>(
    cx: &mut Cx<'_>,
    key: Key,
    end: PipeStage,
    f: impl FnOnce(&mut Cx<'_>) -> R,
) -> Option<R> {
    let answer = caught(cx, f);
    if answer.is_none() {
        fail(cx, key, end, StreamError::Panicked);
    }
    answer
}

impl PipeKey {
    #[inline(always)]
    fn tell(self, rt: &mut Runtime<'_>, event: impl FnOnce() -> PipeEvent) {
        rt.emit(|| StreamEvent::Pipe(self, event()));
    }

    /// Whether the pipe waits for its sink to drain, or for a transform. If so, its source must stay
    /// paused.
    pub fn is_full(self, cx: &mut Cx<'_>) -> bool {
        let (layer, d) = cx.layer(&STREAMS);
        let pipe = layer.pipe(&d, self.0);
        pipe.is_some_and(|p| matches!(p.state, State::Full | State::Stuck) || p.hold != Hold::No)
    }

    /// The source has bytes. They may be offered to the sink at once.
    pub fn data(self, d: &mut Dispatch<'_>, chunk: Chunk<'_>) {
        let (layer, driver) = d.layer(&STREAMS);
        let Some(p) = layer.pipe(&driver, self.0) else { return };
        if !matches!(p.state, State::Flowing | State::Full) {
            return;
        }
        match p.through.take() {
            None => give(&mut d.cx(), self.0, chunk),
            Some(through) => {
                transform(d, self.0, through, Step::Chunk(chunk.bytes()));
                d.settle();
            }
        }
    }

    /// The source has ended: every byte was given.
    pub fn ended(self, d: &mut Dispatch<'_>) {
        let (layer, driver) = d.layer(&STREAMS);
        if let Some(p) = layer.pipe(&driver, self.0) {
            if p.end == SourceEnd::NotYet {
                p.end = SourceEnd::Ended;
            }
        }
        end(d, self.0);
        // Not before: a tick that panics must not come between.
        d.settle();
    }

    /// The sink has room again.
    pub fn drained(self, d: &mut Dispatch<'_>) {
        let (layer, mut driver) = d.layer(&STREAMS);
        let Some(p) = layer.pipe(&driver, self.0) else { return };
        if matches!(p.state, State::Full) {
            p.state = State::Flowing;
            self.tell(&mut driver, || PipeEvent::Flowing);
            match p.hold {
                Hold::No => resume(&mut d.cx(), self.0),
                Hold::Until(_) => {}
                Hold::Due => go_on(d, self.0),
            }
        }
    }

    /// The sink has everything, and its end.
    pub fn finished(self, d: &mut Dispatch<'_>) {
        let (layer, mut driver) = d.layer(&STREAMS);
        let Some(p) = layer.pipe(&driver, self.0) else { return };
        match p.state {
            State::Ending => {
                p.state = State::Done;
                if let Some(mut handle) = driver.handle(STREAMS.owner(), self.0) {
                    handle.close();
                }
            }
            State::Flowing | State::Full | State::Stuck => {
                fail(&mut d.cx(), self.0, PipeStage::Sink, StreamError::Premature);
            }
            _ => {}
        }
    }

    /// The source is closed: after its end, or with the error that ended it early. Returns whether
    /// the pipe's `done` will get that.
    pub fn source_closed(self, d: &mut Dispatch<'_>, result: Result<(), StreamError>) -> bool {
        let (layer, mut driver) = d.layer(&STREAMS);
        let Some(p) = layer.pipe(&driver, self.0) else { return false };
        driver.bury(p.source.take());
        let cause = match (&p.state, result) {
            (State::Ending | State::Done, _) | (State::Stuck, Ok(())) => return false,
            // A transform holds back what came before the end.
            (State::Flowing | State::Full, _) if p.end != SourceEnd::NotYet => return false,
            (_, Err(e)) => e,
            (_, Ok(())) => StreamError::Premature,
        };
        fail(&mut d.cx(), self.0, PipeStage::Source, cause);
        true
    }

    /// The sink is closed: after it had finished, or with the error that ended it early. Returns
    /// whether the pipe's `done` will get that.
    pub fn sink_closed(self, d: &mut Dispatch<'_>, result: Result<(), StreamError>) -> bool {
        let (layer, mut driver) = d.layer(&STREAMS);
        let Some(p) = layer.pipe(&driver, self.0) else { return false };
        driver.bury(p.sink.take());
        let cause = match (&p.state, result) {
            (State::Done, _) => return false,
            (_, Err(e)) => e,
            (_, Ok(())) => StreamError::Premature,
        };
        fail(&mut d.cx(), self.0, PipeStage::Sink, cause);
        true
    }
}

/// Gives these bytes to the sink. What it does not take at once is copied into the spare
/// buffer, and the sink keeps that part of the buffer.
fn give(cx: &mut Cx<'_>, key: Key, chunk: Chunk<'_>) {
    let (layer, d) = cx.layer(&STREAMS);
    let Some(p) = layer.pipe(&d, key) else { return };
    let Some(sink) = p.sink.clone() else { return };
    let tried = ask(cx, key, PipeStage::Sink, |cx| sink.try_write(cx, chunk.bytes()));
    let Some(taken) = tried.filter(|n| *n < chunk.bytes().len()) else { return };
    let rest = match chunk {
        Chunk::Shared(all) => all.slice(taken..),
        Chunk::Lent(all) => {
            let (layer, d) = cx.layer(&STREAMS);
            let Some(p) = layer.pipe(&d, key) else { return };
            spare(&mut p.spare, &all[taken..])
        }
    };
    match ask(cx, key, PipeStage::Sink, |cx| sink.write(cx, rest)) {
        Some(Flow::Ready) | None => {}
        Some(Flow::Full) => full(cx, key),
        Some(Flow::Closed) => {
            full(cx, key);
            let (layer, d) = cx.layer(&STREAMS);
            if let Some(p) = layer.pipe(&d, key) {
                if matches!(p.state, State::Flowing | State::Full) {
                    p.state = State::Stuck;
                }
            }
        }
    }
}

fn spare(buffer: &mut BytesMut, rest: &[u8]) -> Bytes {
    if buffer.capacity() < rest.len() {
        // As a rule the sink has released what it held before: then this reuses the same
        // memory.
        buffer.reserve(SPARE.max(rest.len()));
    }
    buffer.extend_from_slice(rest);
    buffer.split().freeze()
}

/// The sink takes no more for now.
fn full(cx: &mut Cx<'_>, key: Key) {
    let (layer, mut d) = cx.layer(&STREAMS);
    let Some(p) = layer.pipe(&d, key) else { return };
    if matches!(p.state, State::Flowing | State::Full) {
        if matches!(p.state, State::Flowing) {
            PipeKey(key).tell(&mut d, || PipeEvent::Full);
        }
        p.state = State::Full;
        // Even if it was paused before: somebody else may have resumed it.
        if let Some(source) = p.source.clone() {
            ask(cx, key, PipeStage::Source, |cx| source.pause(cx));
        }
    }
}

/// The source has ended, and nothing is held back: flushes the transforms, and ends the sink.
fn end(d: &mut Dispatch<'_>, key: Key) {
    let (layer, driver) = d.layer(&STREAMS);
    let Some(p) = layer.pipe(&driver, key) else { return };
    let takes = matches!(p.state, State::Flowing | State::Full) && p.hold == Hold::No;
    if !takes || p.end == SourceEnd::NotYet {
        return;
    }
    if std::mem::replace(&mut p.end, SourceEnd::Flushed) == SourceEnd::Ended {
        if let Some(through) = p.through.take() {
            transform(d, key, through, Step::Flush);
        }
    }
    let (layer, mut driver) = d.layer(&STREAMS);
    let Some(p) = layer.pipe(&driver, key) else { return };
    if matches!(p.state, State::Flowing | State::Full) && p.hold == Hold::No {
        p.state = State::Ending;
        PipeKey(key).tell(&mut driver, || PipeEvent::Ending);
        if let Some(sink) = p.sink.clone() {
            ask(&mut d.cx(), key, PipeStage::Sink, |cx| sink.end(cx));
        }
    }
}

/// The time has passed for which a transform held bytes back. If the sink is full it waits for that,
/// too.
fn go_on(d: &mut Dispatch<'_>, key: Key) {
    let (layer, driver) = d.layer(&STREAMS);
    let Some(p) = layer.pipe(&driver, key) else { return };
    if p.hold != Hold::Due || !matches!(p.state, State::Flowing) {
        return;
    }
    p.hold = Hold::No;
    if let Some(through) = p.through.take() {
        transform(d, key, through, Step::GoOn);
    }
    end(d, key);
    resume(&mut d.cx(), key);
    d.settle();
}

/// The source goes on, if nothing is in the way.
fn resume(cx: &mut Cx<'_>, key: Key) {
    let (layer, d) = cx.layer(&STREAMS);
    let Some(p) = layer.pipe(&d, key) else { return };
    let free = p.hold == Hold::No && p.end == SourceEnd::NotYet;
    if !free || !matches!(p.state, State::Flowing) {
        return;
    }
    if let Some(source) = p.source.clone() {
        ask(cx, key, PipeStage::Source, |cx| source.resume(cx));
    }
}

/// A transform holds bytes back for so long.
fn hold(cx: &mut Cx<'_>, key: Key, time: Duration) {
    let (layer, d) = cx.layer(&STREAMS);
    let Some(p) = layer.pipe(&d, key) else { return };
    if !matches!(p.state, State::Flowing | State::Full) || p.hold != Hold::No {
        return;
    }
    let source = p.source.clone();
    let timer = cx.after(time, move |cx| {
        let (layer, mut d) = cx.layer(&STREAMS);
        if let Some(p) = layer.pipe(&d, key) {
            p.hold = Hold::Due;
        }
        if let Some(mut handle) = d.handle(STREAMS.owner(), key) {
            handle.pend();
        }
    });
    let (layer, d) = cx.layer(&STREAMS);
    if let Some(p) = layer.pipe(&d, key) {
        p.hold = Hold::Until(timer);
    }
    if let Some(source) = source {
        ask(cx, key, PipeStage::Source, |cx| source.pause(cx));
    }
}

fn transform(d: &mut Dispatch<'_>, key: Key, through: Through, step: Step<'_>) {
    let made = call(d, key, Some(through), through_back, |t, mut cx| {
        t.run(&mut cx, step).map(|made| (made, t.wait))
    });
    if let Some(Ok((_, Some(time)))) = &made {
        hold(&mut d.cx(), key, *time);
    }
    match made.map(|made| made.map(|(made, _)| made)) {
        Some(Ok(made)) if !made.is_empty() => give(&mut d.cx(), key, Chunk::Shared(made)),
        Some(Err((stage, cause))) => fail(&mut d.cx(), key, PipeStage::Transform(stage), cause),
        _ => {}
    }
}

fn through_back(d: &mut Dispatch<'_>, key: Key, through: Through, panicked: bool) {
    let (layer, mut driver) = d.layer(&STREAMS);
    let at = through.at;
    match layer.pipe(&driver, key) {
        Some(p) => p.through = Some(through),
        None => driver.bury(through),
    }
    if panicked {
        fail(&mut d.cx(), key, PipeStage::Transform(at), StreamError::Panicked);
    }
}

/// The pipe fails: keeps the cause, destroys both ends the first time, and closes the pipe
/// when both are closed.
fn fail(cx: &mut Cx<'_>, key: Key, stage: PipeStage, cause: StreamError) {
    let (layer, mut d) = cx.layer(&STREAMS);
    let Some(p) = layer.pipe(&d, key) else { return };
    match &mut p.state {
        State::Done => return,
        State::Failing(first) => {
            if first.cause.is_bare_close() && !cause.is_bare_close() {
                *first = PipeError { stage, cause };
            }
        }
        state => {
            let error = PipeError { stage, cause };
            PipeKey(key).tell(&mut d, || PipeEvent::Failing(error.clone()));
            *state = State::Failing(error);
            destroy_ends(cx, key);
        }
    }
    close_if_over(cx, key);
}

fn destroy_ends(cx: &mut Cx<'_>, key: Key) {
    let (layer, d) = cx.layer(&STREAMS);
    let Some(p) = layer.pipe(&d, key) else { return };
    let State::Failing(PipeError { cause, .. }) = &p.state else { return };
    let (cause, source, sink) = (cause.clone(), p.source.clone(), p.sink.clone());
    if let Some(source) = source {
        if caught(cx, |cx| source.destroy(cx, &cause)).is_none() {
            give_up_source(cx, key, &cause);
        }
    }
    if let Some(sink) = sink {
        if caught(cx, |cx| sink.destroy(cx, &cause)).is_none() {
            give_up_sink(cx, key, &cause);
        }
    }
}

/// The pipe does not wait for this end any more. A stream of this crate that is attached
/// through it is ended.
#[cold]
fn give_up_source(cx: &mut Cx<'_>, key: Key, cause: &StreamError) {
    let (layer, mut d) = cx.layer(&STREAMS);
    let source = layer.pipe(&d, key).and_then(|p| p.source.take());
    d.bury(source);
    row::end_attached::<Readable>(cx, PipeKey(key), cause);
}

#[cold]
fn give_up_sink(cx: &mut Cx<'_>, key: Key, cause: &StreamError) {
    let (layer, mut d) = cx.layer(&STREAMS);
    let sink = layer.pipe(&d, key).and_then(|p| p.sink.take());
    d.bury(sink);
    row::end_attached::<Writable>(cx, PipeKey(key), cause);
}

fn close_if_over(cx: &mut Cx<'_>, key: Key) {
    let (layer, mut d) = cx.layer(&STREAMS);
    let Some(mut handle) = d.handle(STREAMS.owner(), key) else { return };
    let Some(p) = layer.pipes.get(handle.data() as usize) else { return };
    if matches!(p.state, State::Failing(_)) && p.source.is_none() && p.sink.is_none() {
        handle.close();
    }
}

/// The closing phase: frees the key and calls `done`.
fn closed(d: &mut Dispatch<'_>, key: Key, place: u64) {
    let (layer, mut driver) = d.layer(&STREAMS);
    let Some(p) = layer.pipes.try_remove(place as usize) else { return };
    if let Some(handle) = driver.handle(STREAMS.owner(), key) {
        handle.free();
    }
    if let Hold::Until(timer) = p.hold {
        let _ = d.cx().timer_stop(timer);
    }
    let mut driver = d.driver();
    let result = match p.state {
        State::Failing(e) => Err(e),
        _ => Ok(()),
    };
    PipeKey(key).tell(&mut driver, || PipeEvent::Closed(result.clone()));
    // A drop that panics must not meet a panic of `done`.
    d.driver().bury(((p.source, p.sink), p.through));
    if let Some(done) = p.done {
        done(&mut d.cx(), result);
    }
}
