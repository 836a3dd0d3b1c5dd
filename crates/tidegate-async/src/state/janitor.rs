//! The handle of a loop that does what notes ask for, and the [`Home`] that they come by.
#![forbid(unsafe_code)]

use std::sync::Arc;

use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_loop::{Cx, Key, TableFull};

use crate::state::layer::ASYNC;
use crate::sys::current;
use crate::wake::home::{Home, Note};

/// Notes that one call acts on.
const BUDGET: usize = 256;

static JANITOR: Kind = Kind::new("futures", ASYNC.owner())
    .notified(tidy)
    .describe(|_, _, _| "what was dropped elsewhere".into());

/// The home of this loop, made at its first use.
pub(crate) fn home(cx: &mut Cx<'_>) -> Result<Arc<Home>, TableFull> {
    if let Some(home) = &cx.layer(&ASYNC).0.home {
        return Ok(home.clone());
    }
    let remote = cx.remote();
    let (layer, mut driver) = cx.layer(&ASYNC);
    let mut janitor = driver.insert(&JANITOR, 0)?;
    janitor.set_internal();
    let home = Arc::new(Home::new(remote, janitor.key()));
    layer.home = Some(home.clone());
    Ok(home)
}

fn tidy(d: &mut Dispatch<'_>, _: Key, _: u64) {
    let layer = d.layer(&ASYNC).0;
    let Some(home) = &layer.home else { return };
    let mut notes = std::mem::take(&mut layer.notes);
    home.take(BUDGET, &mut notes);
    for note in notes.drain(..) {
        (note.act)(&mut d.cx(), note);
    }
    d.layer(&ASYNC).0.notes = notes;
}

/// Acts now, in a task of this loop; anywhere else the loop does, in a turn to come.
pub(crate) fn act(home: &Arc<Home>, note: Note) {
    let acted = current::with(|frame| {
        let mut cx = frame.cx();
        let here = cx.layer(&ASYNC).0.is_home(home);
        if here {
            (note.act)(&mut cx, note);
        }
        here
    });
    if acted != Ok(true) {
        home.note(note);
    }
}
