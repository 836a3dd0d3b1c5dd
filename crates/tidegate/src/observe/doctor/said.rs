//! What was said: the same sign again only after a while, and the last findings alone are kept.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::time::Duration;

use super::finding::{Finding, Sign};

/// Findings that are kept.
const KEPT: usize = 100;

pub(super) struct Said {
    again: Duration,
    /// By sign: when it was last said, and how often it was not since.
    last: [Option<(Duration, u64)>; Sign::ALL.len()],
    kept: VecDeque<Finding>,
    number: u64,
}

impl Said {
    pub(super) fn new() -> Said {
        Said {
            again: Duration::from_secs(60),
            last: [None; Sign::ALL.len()],
            kept: VecDeque::new(),
            number: 0,
        }
    }

    pub(super) fn set_again(&mut self, after: Duration) {
        self.again = after;
    }

    /// Takes a finding, unless its sign was said a short time ago. The finding to say now.
    pub(super) fn take(&mut self, mut finding: Finding) -> Option<&Finding> {
        let last = &mut self.last[finding.sign as usize];
        if let Some((at, unsaid)) = last {
            if finding.at.saturating_sub(*at) < self.again {
                *unsaid += 1;
                return None;
            }
            finding.unsaid = *unsaid;
        }
        *last = Some((finding.at, 0));
        self.number += 1;
        finding.number = self.number;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(finding);
        self.kept.back()
    }

    pub(super) fn kept(&self) -> Vec<Finding> {
        self.kept.iter().cloned().collect()
    }
}
