//! [`Row`]: what readable and writable streams do alike, each once.
//!
//! What they do differently is in `readable.rs` and `writable.rs`, which implement it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use tidegate_loop::kind::{Dispatch, Driver, Kind};
use tidegate_loop::{Cx, Key, KeyError};

use crate::ends::PipeKey;
use crate::error::StreamError;
use crate::run::layer::{Common, Layer};

/// A readable or a writable stream in the layer.
pub(crate) trait Row: Sized + 'static {
    fn kind() -> &'static Kind;
    fn rows(layer: &mut Layer) -> &mut BTreeMap<Key, Self>;
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
    fn destroy(&mut self, d: &mut Driver<'_>, key: Key, result: Result<(), StreamError>) {
        if self.is_open() {
            self.common_mut().over = Some(result);
            self.destroy_machine();
            d.close(Self::kind(), key);
        }
    }
}

/// Changes a stream, if it is not over. Afterwards it is queued if something is due.
pub(crate) fn change<R: Row, T>(
    cx: &mut Cx<'_>,
    key: Key,
    f: impl FnOnce(&mut R, &mut Driver<'_>) -> T,
) -> Option<T> {
    let (layer, mut d) = cx.parts::<Layer>();
    let row = R::rows(layer).get_mut(&key).filter(|r| r.is_open())?;
    let done = f(row, &mut d);
    if row.is_open() && row.is_due() {
        d.pend(key);
    }
    Some(done)
}

/// Asks a stream, if it is not over.
pub(crate) fn look<R: Row, T>(cx: &mut Cx<'_>, key: Key, f: impl FnOnce(&R) -> T) -> Option<T> {
    let layer = cx.parts::<Layer>().0;
    R::rows(layer).get(&key).filter(|r| r.is_open()).map(f)
}

/// Whether the stream is not over; if it is, why the key finds nothing.
pub(crate) fn state<R: Row>(cx: &mut Cx<'_>, key: Key) -> Result<(), KeyError> {
    cx.validate(key)?;
    look::<R, _>(cx, key, |_| ()).ok_or(KeyError::Closed)
}

/// Ends a stream with this error.
pub(crate) fn fail<R: Row>(cx: &mut Cx<'_>, key: Key, error: StreamError) {
    change::<R, _>(cx, key, |r, d| r.destroy(d, key, Err(error.clone())));
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
    let layer = cx.parts::<Layer>().0;
    if let Some(Err(e)) = R::rows(layer).get(&key).and_then(|r| r.common().over.as_ref()) {
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
    let (layer, mut d) = cx.parts::<Layer>();
    let attached = R::rows(layer).iter_mut().filter(|(_, r)| r.common().pipe == Some(pipe));
    for (key, row) in attached {
        row.destroy(&mut d, *key, Err(cause.clone()));
    }
}

/// After a call: the user's object goes back to its place in the row. A panic ends the
/// stream.
pub(crate) fn put_back<R: Row, T: 'static>(
    d: &mut Dispatch<'_>,
    key: Key,
    user: T,
    panicked: bool,
    place: fn(&mut R) -> &mut Option<T>,
) {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(row) = R::rows(layer).get_mut(&key) else { return driver.bury(user) };
    *place(row) = Some(user);
    if panicked {
        row.destroy(&mut driver, key, Err(StreamError::Panicked));
    }
}

/// In the closing phase: frees the key, and takes the row and how the stream ended.
pub(crate) fn take_closed<R: Row>(
    d: &mut Dispatch<'_>,
    key: Key,
) -> Option<(R, Result<(), StreamError>)> {
    let (layer, mut driver) = d.parts::<Layer>();
    driver.free(R::kind(), key);
    let mut row = R::rows(layer).remove(&key)?;
    let result = row.common_mut().over.take().unwrap_or(Err(StreamError::Destroyed));
    Some((row, result))
}
