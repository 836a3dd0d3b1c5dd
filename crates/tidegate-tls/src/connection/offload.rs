//! Steps of handshakes on the threads of `work`. The session goes to a job with the bytes that
//! came, and comes back with what it made of them; bytes that come meanwhile wait.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_loop::{AsCx, Cx, Remote, WorkRefused};
use tidegate_net::{Net, SocketKey};

use crate::connection::session::Session;

/// What a job returned.
pub(crate) struct Done {
    pub(crate) session: Session,
    pub(crate) up: Vec<u8>,
    pub(crate) down: Vec<u8>,
    pub(crate) result: Result<(), rustls::Error>,
}

/// Where it is put.
#[derive(Clone, Default)]
pub(crate) struct Away(Arc<Mutex<Place>>);

#[derive(Default)]
enum Place {
    #[default]
    Working,
    Done(Box<Done>),
    /// The job panicked, or did not run.
    Lost,
}

/// What there is to fetch.
pub(crate) enum Fetched {
    NotYet,
    Done(Box<Done>),
    Lost,
}

impl Away {
    fn put(&self, place: Place) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    pub(crate) fn fetch(&self) -> Fetched {
        match std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            Place::Working => Fetched::NotYet,
            Place::Done(done) => Fetched::Done(done),
            Place::Lost => Fetched::Lost,
        }
    }
}

/// One step of a handshake.
fn step(mut session: Session, wire: &[u8]) -> Done {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let result = session.inbound(wire, &mut up, &mut down);
    Done { session, up, down, result }
}

/// Gives a step to a job; the connection is poked when it is done. `Err`: the loop takes no posts
/// now, and the session is back.
pub(crate) fn send(
    remote: &Remote,
    key: SocketKey,
    session: Session,
    wire: Vec<u8>,
) -> Result<Away, (Session, Vec<u8>)> {
    let away = Away::default();
    let parcel = Arc::new(Mutex::new(Some((session, wire))));
    let (in_post, to) = (parcel.clone(), away.clone());
    let posted = remote.post(move |cx| {
        let parcel = in_post.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((session, wire)) = parcel else { return };
        let lost = to.clone();
        let job = move || step(session, &wire);
        let done = move |cx: &mut Cx<'_>, done: Result<Done, _>| {
            to.put(done.map_or(Place::Lost, |done| Place::Done(Box::new(done))));
            cx.socket(key).poke_filter();
        };
        // No thread takes it: here, then.
        match cx.cx().work(job, done) {
            Ok(_) => {}
            Err(WorkRefused::Full { job, done } | WorkRefused::NoThread { job, done, .. }) => {
                done(cx, Ok(job()));
            }
            Err(_) => {
                lost.put(Place::Lost);
                cx.socket(key).poke_filter();
            }
        }
    });
    match posted {
        Ok(()) => Ok(away),
        Err(_) => match parcel.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(back) => Err(back),
            None => Ok(away),
        },
    }
}
