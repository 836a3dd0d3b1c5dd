//! The way to a request's handler: it leaves its place for the time of the call and comes back,
//! also from a panic, which ends the request.
#![forbid(unsafe_code)]

use tidegate_loop::Key;
use tidegate_loop::kind::Dispatch;

use crate::agent::state::CLIENT;
use crate::client::callbacks::{RequestCx, ResponseHandler};
use crate::client::error::RequestCause;
use crate::client::key::RequestKey;
use crate::requests::ending::fail;

/// Calls the handler of a request, unless that is over. Whether it goes on after the call.
pub(crate) fn call(
    d: &mut Dispatch<'_>,
    key: Key,
    f: impl FnOnce(&mut dyn ResponseHandler, &mut RequestCx<'_>),
) -> bool {
    let (layer, driver) = d.layer(&CLIENT);
    let Some(handler) = layer.request(&driver, key).and_then(|r| r.handler.take()) else {
        return is_open(d, key);
    };
    d.lend(
        handler,
        |cx, handler| f(&mut **handler, &mut RequestCx { cx, key: RequestKey(key) }),
        |d, handler| put_back(d, key, handler),
        |d, handler| {
            put_back(d, key, handler);
            fail(&mut d.cx(), key, RequestCause::Panicked);
        },
    );
    d.settle();
    is_open(d, key)
}

fn put_back(d: &mut Dispatch<'_>, key: Key, handler: Box<dyn ResponseHandler>) {
    let (layer, mut driver) = d.layer(&CLIENT);
    let at = driver.data(CLIENT.owner(), key);
    // Also of one that has ended: `on_close` is to come.
    match at.and_then(|at| layer.requests.get_mut(at as usize)) {
        Some(r) => r.handler = Some(handler),
        None => driver.bury(handler),
    }
}

pub(crate) fn is_open(d: &mut Dispatch<'_>, key: Key) -> bool {
    let (layer, driver) = d.layer(&CLIENT);
    layer.request(&driver, key).is_some()
}
