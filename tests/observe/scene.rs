//! What observers look at: clients with back-pressure; and a file in memory.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use tidegate::prelude::*;

pub(crate) const CLIENTS: usize = 3;

/// More than the kernel takes at once.
pub(crate) const ANSWER: usize = 12 << 20;

/// A file that the test can look into.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// Clients that ask, pause for a while, and read a long answer to its end.
pub(crate) fn back_pressure(lp: &mut Loop) {
    let mut left = CLIENTS;
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        left -= 1;
        let server = conn.server_key();
        if left == 0 {
            conn.server(server).close().unwrap();
        }
        let on = On::new().data(|s, _| {
            let _ = s.write(bytes::Bytes::from_static(&[7; ANSWER]));
        });
        conn.accept(on.drain(|s| s.end()));
    });
    let server = server.unwrap();
    let at = lp.server(server).local_addr().unwrap();
    for _ in 0..CLIENTS {
        let on = On::new().connect(|s| {
            let _ = s.write(b"when is high water?");
            let key = s.key();
            s.pause();
            s.timer(Duration::from_millis(20), move |cx, _| cx.socket(key).resume());
        });
        lp.connect(at, on);
    }
    lp.run().unwrap();
}
