//! [`Row`]: what readable and writable streams do alike, each once.
//!
//! What they do differently is in `readable.rs` and `writable.rs`, which implement it.
#![forbid(unsafe_code)]

use slab::Slab;
use tidegate_loop::kind::{Dispatch, Driver, Handle};
use tidegate_loop::{Cx, Key, KeyError};

use crate::ends::PipeKey;
use crate::error::StreamError;
use crate::run::layer::{Common, Layer, STREAMS, place};

/// A readable or a writable stream in the layer.
pub(crate) trait Row: Sized + 'static {
    fn rows(layer: &mut Layer) -> &mut Slab<Self>;
    fn common(&self) -> &Common;
    fn common_mut(&mut self) -> &mut Common;
    /// Whether its machine has ended, so that no pipe can be attached any more.
    fn has_ended(&self) -> bool;
    /// Whether there is anything to do for it.
    fn is_due(&self) -> bool;
    /// Ends its machine.
    fn destroy_machine(&mut self);

    fn is_open(&self) -> bool {
        self.common().over.is_none()
    }

    /// The stream is over, with this result; the first one counts.
    fn destroy(&mut self, h: &mut Handle<'_>, result: Result<(), StreamError>) {
        if self.is_open() {
            self.common_mut().over = Some(result);
            self.destroy_machine();
            h.close();
        }
    }
}

/// The row of a stream.
fn find<'l, R: Row>(layer: &'l mut Layer, d: &Driver<'_>, key: Key) -> Option<&'l mut R> {
    R::rows(layer).get_mut(place(d, key)?)
}

/// Changes a stream, if it is not over. Afterwards it is queued if something is due.
pub(crate) fn change<R: Row, T>(
    cx: &mut Cx<'_>,
    key: Key,
    f: impl FnOnce(&mut R, &mut Handle<'_>) -> T,
) -> Option<T> {
    let (layer, mut d) = cx.layer(&STREAMS);
    let mut handle = d.handle(STREAMS.owner(), key)?;
    let row = R::rows(layer).get_mut(handle.data() as usize).filter(|r| r.is_open())?;
    let done = f(row, &mut handle);
    if row.is_open() && row.is_due() {
        handle.pend();
    }
    Some(done)
}

/// Asks a stream, if it is not over.
pub(crate) fn look<R: Row, T>(cx: &mut Cx<'_>, key: Key, f: impl FnOnce(&R) -> T) -> Option<T> {
    let (layer, d) = cx.layer(&STREAMS);
    find::<R>(layer, &d, key).filter(|r| r.is_open()).map(|r| f(r))
}

/// Whether the stream is not over; if it is, why the key finds nothing.
pub(crate) fn state<R: Row>(cx: &mut Cx<'_>, key: Key) -> Result<(), KeyError> {
    cx.validate(key)?;
    look::<R, _>(cx, key, |_| ()).ok_or(KeyError::Closed)
}

/// Ends a stream with this error.
pub(crate) fn fail<R: Row>(cx: &mut Cx<'_>, key: Key, error: StreamError) {
    change::<R, _>(cx, key, |r, h| r.destroy(h, Err(error.clone())));
    // If the stream was over, this may be the last copy: it is dropped later.
    cx.driver().bury(error);
}

/// Makes a stream an end of this pipe. `begin` runs if it takes the pipe.
pub(crate) fn attach<R: Row, T>(
    cx: &mut Cx<'_>,
    key: Key,
    pipe: PipeKey,
    begin: impl FnOnce(&mut R) -> T,
) -> Result<T, StreamError> {
    let (layer, d) = cx.layer(&STREAMS);
    if let Some(Err(e)) = find::<R>(layer, &d, key).and_then(|r| r.common().over.as_ref()) {
        return Err(e.clone());
    }
    let attached = change::<R, _>(cx, key, |r, _| {
        if r.has_ended() {
            return Err(StreamError::Closed);
        }
        if r.common().pipe.is_some() {
            return Err(StreamError::Piped);
        }
        r.common_mut().pipe = Some(pipe);
        Ok(begin(r))
    });
    attached.unwrap_or(Err(StreamError::Closed))
}

/// Ends every stream that is attached to this pipe.
pub(crate) fn end_attached<R: Row>(cx: &mut Cx<'_>, pipe: PipeKey, cause: &StreamError) {
    let (layer, mut d) = cx.layer(&STREAMS);
    let attached = R::rows(layer).iter_mut().filter(|(_, r)| r.common().pipe == Some(pipe));
    for (_, row) in attached {
        if let Some(mut handle) = d.handle(STREAMS.owner(), row.common().key) {
            row.destroy(&mut handle, Err(cause.clone()));
        }
    }
}

/// After a call: the user's object goes back to its place in the row. A panic ends the
/// stream.
pub(crate) fn put_back<R: Row, T: 'static>(
    d: &mut Dispatch<'_>,
    key: Key,
    user: T,
    panicked: bool,
    place_of: fn(&mut R) -> &mut Option<T>,
) {
    let (layer, mut driver) = d.layer(&STREAMS);
    let Some(row) = find::<R>(layer, &driver, key) else { return driver.bury(user) };
    *place_of(row) = Some(user);
    if let Some(mut handle) = driver.handle(STREAMS.owner(), key).filter(|_| panicked) {
        row.destroy(&mut handle, Err(StreamError::Panicked));
    }
}

/// In the closing phase: frees the key, and takes the row and how the stream ended.
pub(crate) fn take_closed<R: Row>(
    d: &mut Dispatch<'_>,
    key: Key,
) -> Option<(R, Result<(), StreamError>)> {
    let (layer, mut driver) = d.layer(&STREAMS);
    let handle = driver.handle(STREAMS.owner(), key)?;
    let place = handle.data() as usize;
    handle.free();
    let mut row = R::rows(layer).try_remove(place)?;
    let result = row.common_mut().over.take().unwrap_or(Err(StreamError::Destroyed));
    Some((row, result))
}
