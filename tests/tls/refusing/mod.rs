//! TLS that fails: certificates, junk, resets, deadlines; and how connections end, well or not.

mod certificates;
mod ends;
mod junk;
mod limits;

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::prelude::*;
use tidegate::tls::TlsError;

/// What became of connections, in order.
#[derive(Clone, Default)]
pub(crate) struct Ends(pub(crate) Rc<RefCell<Vec<String>>>);

impl Ends {
    pub(crate) fn add(&self, who: &str, close: &Close) {
        let text = match close.reason.error() {
            Some(e) => format!("{who}: {:?} {}", e.stage(), e.code().unwrap_or("-")),
            None => format!("{who}: {}", close.reason),
        };
        self.0.borrow_mut().push(text);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

/// A server that echoes, and notes how each connection ends.
pub(crate) struct Echo(pub(crate) Ends);

impl ServerHandler for Echo {
    fn on_connection(&mut self, conn: Incoming<'_>) {
        let (ends, end) = (self.0.clone(), self.0.clone());
        conn.accept(
            On::new()
                .data(|s, chunk| {
                    let _ = s.write(chunk);
                })
                .end(move |_| end.0.borrow_mut().push("end".into()))
                .close(move |_, c| ends.add("closed", &c)),
        );
    }

    fn on_refused(&mut self, _: &mut ServerCx<'_>, close: Close) {
        self.0.add("refused", &close);
    }
}

/// The alerts of an error: sent, received.
pub(crate) fn alerts(close: &Close) -> String {
    let error = close.reason.error().and_then(TlsError::of).unwrap();
    let name = |alert: Option<tidegate::tls::Alert>| alert.map_or("-".into(), |a| a.to_string());
    format!("{} {}", name(error.alert_sent()), name(error.alert_received()))
}
