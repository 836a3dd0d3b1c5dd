//! Their pipes and connections.

use tidegate::prelude::*;
use tidegate::stream::*;

use crate::program::*;
use crate::streams::*;

pub(crate) fn piped(
    cx: &mut impl Streams,
    from: impl ReadEnd,
    stages: Vec<Box<dyn Transform>>,
    to: impl WriteEnd,
    last: bool,
    l: &Shared,
) -> PipeKey {
    let known = l.clone();
    add(&l.pipes, 0);
    let done = move |_: &mut Cx<'_>, result: Result<(), PipeError>| {
        known.said(&known.pipes, &result);
        if last {
            known.last_word(result.is_ok());
        }
    };
    cx.pipeline(from, stages, to, done).unwrap()
}

/// A connection that says its last word once.
pub(crate) fn on(l: &Shared) -> On {
    let known = l.clone();
    add(&l.sockets, 0);
    On::new().close(move |_, close| {
        known.unsent.set(known.unsent.get() + close.unsent);
        let well = matches!(close.reason, Reason::Ended);
        let result = if well { Ok(()) } else { Err(close.reason) };
        known.said(&known.sockets, &result);
    })
}

/// A server for one connection, which echoes or goes on to the next.
pub(crate) fn serve(
    lp: &mut Loop,
    next: Option<std::net::SocketAddr>,
    echo: Echo,
    l: &Shared,
) -> ServerKey {
    let l = l.clone();
    lp.listen("127.0.0.1:0", move |mut conn| {
        let server = conn.server();
        conn.close_server(server).unwrap();
        match (next, echo) {
            (Some(next), _) => {
                let mut a = conn.accept(on(&l));
                let (key, b) = (a.key(), a.connect(next, on(&l)));
                piped(&mut a, key, vec![], b, false, &l);
                piped(&mut a, b, vec![], key, false, &l);
            }
            (None, Echo::Piped) => {
                let mut a = conn.accept(on(&l));
                let key = a.key();
                piped(&mut a, key, vec![], key, false, &l);
            }
            (None, Echo::Handled) => {
                let echo = on(&l).drain(|s| s.resume());
                conn.accept(echo.data(|s, chunk| {
                    if s.write(chunk) == Flow::Full {
                        s.pause();
                    }
                }));
            }
        }
    })
    .unwrap()
}
