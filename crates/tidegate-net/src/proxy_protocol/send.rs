//! The filter of a client that sends a PROXY header first, and leaves.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::callbacks::filter::{Filter, FilterError, FilterFactory, Passed};

/// A header as it is sent.
pub(crate) struct Sending(pub(crate) Arc<[u8]>);

impl FilterFactory for Sending {
    fn make(&self) -> Box<dyn Filter> {
        Box::new(Sending(self.0.clone()))
    }
}

impl Filter for Sending {
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.down.extend_from_slice(&self.0);
        out.leave();
        Ok(())
    }

    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.up.extend_from_slice(wire);
        Ok(())
    }

    fn outbound(&mut self, _: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Ok(0)
    }

    fn describe(&self) -> String {
        "PROXY header to send".into()
    }
}
