//! One call of one filter, and of a factory: what came out, an error, or a panic, which is
//! caught so that the connection's state stays whole.
#![forbid(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::callbacks::filter::{Factory, Filter, FilterError, Held, Passed, Said};

/// Why a run of filters stopped.
pub(crate) enum Fault {
    Refused(FilterError),
    /// Said at the peer's end.
    Truncated(FilterError),
    Panicked(Box<dyn Any + Send>),
}

/// What a call returned. `said` and the buffers of `out` hold what was made, also with an error;
/// not after a panic.
pub(crate) struct Called<R> {
    pub(crate) done: Result<R, Fault>,
    pub(crate) said: Said,
    /// What it calls itself, if somebody observes and it said something or failed.
    pub(crate) name: Option<String>,
}

/// Calls a filter with empty buffers, and asks what it holds then.
pub(crate) fn call<R>(
    filter: &mut dyn Filter,
    held: &mut Held,
    out: &mut Passed,
    f: impl FnOnce(&mut dyn Filter, &mut Passed) -> Result<R, FilterError>,
) -> Called<R> {
    out.up.clear();
    out.down.clear();
    out.said = Said::default();
    let called = catch_unwind(AssertUnwindSafe(|| {
        let done = f(filter, out);
        let Said { ready, leave, .. } = out.said;
        let tells = out.is_observed() && (ready || leave || done.is_err());
        (done, filter.held(), tells.then(|| filter.describe()))
    }));
    let said = std::mem::take(&mut out.said);
    match called {
        Ok((done, now, name)) => {
            *held = Held { user: clamp(now.user), wire: clamp(now.wire) };
            Called { done: done.map_err(Fault::Refused), said, name }
        }
        Err(payload) => {
            out.up.clear();
            out.down.clear();
            let (done, said) = (Err(Fault::Panicked(payload)), Said::default());
            Called { done, said, name: None }
        }
    }
}

/// So that no sum overflows, whatever a filter says.
fn clamp(bytes: usize) -> usize {
    bytes.min(usize::MAX >> 16)
}

/// A filter of each factory, the first nearest to the kernel.
pub(crate) fn make_all(
    factories: &[Factory],
    host: Option<&str>,
) -> Result<Vec<Box<dyn Filter>>, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(|| factories.iter().map(|f| f.0.make_for(host)).collect()))
}
