//! Whose turn it is to take a descriptor when few are left.
//!
//! What is free goes round: the server that was served least recently claims it. Servers
//! that are not held are in the poller already and would be called before those that come
//! back, so one that was served more recently than a claimer goes once behind the others.
#![forbid(unsafe_code)]

/// Whose turn it is to take a descriptor.
#[derive(Default)]
pub(crate) struct Claims {
    /// Batches of all servers that accepted something.
    served: u64,
    /// The times that servers came back.
    round: u64,
    /// When the one that comes first of these was served.
    claim: Option<u64>,
    /// Batches before that round.
    before: u64,
}

/// One server's place in that.
#[derive(Default)]
pub(crate) struct Place {
    /// The number of its last batch.
    pub(crate) served: u64,
    /// The last round in which it let others go first.
    yielded: u64,
    /// After how many batches of all it let those that are held come back.
    waited: Option<u64>,
}

impl Claims {
    /// Its batch is over.
    #[inline]
    pub(crate) fn served(&mut self, place: &mut Place) {
        self.served += 1;
        place.served = self.served;
    }

    /// Whether it is to let another go first, which waited for longer.
    #[inline]
    pub(crate) fn must_yield(&self, place: &mut Place) -> bool {
        let Some(claim) = self.claim else { return false };
        if place.served <= claim || place.yielded == self.round {
            return false;
        }
        place.yielded = self.round;
        true
    }

    /// Whether it is to wait until those that are held are back: they may have waited for
    /// longer. Not again before a server was served, or it would wait for nothing.
    pub(crate) fn lets_held_come(&self, place: &mut Place) -> bool {
        place.waited.replace(self.served) != Some(self.served)
    }

    /// Whether it was not served in this round.
    #[inline]
    pub(crate) fn is_first(&self, place: &Place) -> bool {
        self.claim.is_some() && place.served <= self.before
    }

    pub(crate) fn open_round(&mut self, claim: u64) {
        self.round += 1;
        self.before = self.served;
        self.claim = Some(claim);
    }
}
