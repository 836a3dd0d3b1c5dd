//! A write to a paused connection that the peer has reset already, through a filter that refuses
//! it: the filter's error is counted and logged. Also if the filter made bytes first, and sending
//! them met the reset.

use tidegate::net::{Filter, FilterError, Passed, PeerState};
use tidegate::prelude::*;

use crate::logged::Logged;
use crate::support::*;

/// Makes so many bytes of the first write, and then refuses it.
struct Refuses(usize);

impl Filter for Refuses {
    fn inbound(&mut self, _: &mut [u8], _: &mut Passed) -> Result<(), FilterError> {
        Ok(())
    }
    fn outbound(&mut self, _: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.resize(self.0, 7);
        Err("no such record".into())
    }
}

#[test]
fn an_error_of_outbound_after_a_reset_is_counted_and_logged() {
    let logged = Logged::begin();
    for made in [0, 10] {
        let mut lp = guarded();
        let (peer, ours) = pair();
        // The default `on_close` counts and warns.
        let key = lp.adopt(ours, On::new()).unwrap();
        let mut s = lp.socket(key);
        s.set_filter(Refuses(made));
        s.pause();
        lp.run_nowait().unwrap();
        reset(peer);
        poll_until(&mut lp, |lp| lp.socket(key).peer_state() == PeerState::Gone);
        assert_eq!(lp.metrics().unhandled_errors, 0, "paused: it is open");

        assert_eq!(lp.socket(key).write(b"x"), Flow::Closed);
        turn_until(&mut lp, |lp| lp.net_metrics().closed == 1);
        let lines = logged.warnings();
        let texts: Vec<&str> = lines.iter().map(|l| &l.text[..]).collect();
        match (made, &texts[..]) {
            (0, [filter]) => assert!(filter.starts_with("unhandled: filter"), "{filter}"),
            // The reset is the reason that `on_close` gets, the filter's error has its own line.
            (10, [_, reset]) => assert!(reset.contains("ECONNRESET"), "{reset}"),
            _ => panic!("{made}: {texts:#?}"),
        }
        assert!(texts[0].contains("no such record"), "{}", texts[0]);
        assert_eq!(lp.metrics().unhandled_errors, texts.len() as u64);
    }
}
