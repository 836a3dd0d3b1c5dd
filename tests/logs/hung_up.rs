//! A write to a paused connection that the peer has reset already, through a filter that refuses
//! it: the filter's error is counted and logged.

use tidegate::net::{Filter, FilterError, Passed, PeerState};
use tidegate::prelude::*;

use crate::logged::Logged;
use crate::support::*;

struct Refuses;

impl Filter for Refuses {
    fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
        Ok(())
    }
    fn outbound(&mut self, _: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Err("no such record".into())
    }
}

#[test]
fn an_error_of_outbound_after_a_reset_is_counted_and_logged() {
    let logged = Logged::begin();
    let mut lp = guarded();
    let (peer, ours) = pair();
    // The default `on_close` counts and warns.
    let key = lp.adopt(ours, On::new()).unwrap();
    let mut s = lp.socket(key);
    s.set_filter(Refuses);
    s.pause();
    lp.run_nowait().unwrap();
    reset(peer);
    poll_until(&mut lp, |lp| lp.socket(key).peer_state() == PeerState::Gone);
    assert_eq!(lp.metrics().unhandled_errors, 0, "paused: it is open");

    assert_eq!(lp.socket(key).write(b"x"), Flow::Closed);
    turn_until(&mut lp, |lp| lp.net_metrics().closed == 1);
    assert_eq!(lp.metrics().unhandled_errors, 1);
    let lines = logged.warnings();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].text.starts_with("unhandled: filter"), "{lines:#?}");
    assert!(lines[0].text.contains("no such record"), "{lines:#?}");
}
