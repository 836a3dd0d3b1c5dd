//! The loop that a subcommand runs on, and who watches it: `trace` and `doctor` run other
//! subcommands with an observer.
#![forbid(unsafe_code)]

use std::io;

use tidegate::observe::{LogRecords, Observer};
use tidegate::prelude::*;

type Attach = Box<dyn FnOnce(&mut Loop) -> io::Result<()>>;

/// Makes the loop of a subcommand.
#[derive(Default)]
pub(crate) struct Runner {
    observer: Option<Box<dyn Observer>>,
    attach: Option<Attach>,
}

impl Runner {
    /// Somebody watches the loop: `attach` is called with it when it is made.
    pub(crate) fn watched(
        observer: impl Observer,
        attach: impl FnOnce(&mut Loop) -> io::Result<()> + 'static,
    ) -> Runner {
        Runner { observer: Some(Box::new(observer)), attach: Some(Box::new(attach)) }
    }

    /// A loop.
    pub(crate) fn make_loop(self) -> io::Result<Loop> {
        let observer = self.observer;
        Runner { observer: None, attach: self.attach }.with(observer)
    }

    /// A loop that the subcommand observes, too.
    pub(crate) fn make_loop_with(self, own: Option<impl Observer>) -> io::Result<Loop> {
        let Runner { observer, attach } = self;
        let runner = Runner { observer: None, attach };
        match (own, observer) {
            (None, observer) => runner.with(observer),
            (Some(own), observer) => runner.with(Some((own, observer))),
        }
    }

    fn with(self, observer: Option<impl Observer>) -> io::Result<Loop> {
        let mut lp = Loop::new()?;
        let logged = log::log_enabled!(target: "tidegate::net", log::Level::Debug);
        match (observer, logged) {
            (Some(observer), false) => lp.observe(observer),
            (observer, true) => lp.observe((LogRecords::new(), observer)),
            // Without an observer an event costs a branch.
            (None, false) => {}
        }
        if let Some(attach) = self.attach {
            attach(&mut lp)?;
        }
        Ok(lp)
    }
}
