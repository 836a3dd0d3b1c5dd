//! Connections queue while the server is stopped. How long each then waits for its callback,
//! from the moment at which the server goes on, with and without 1 ms of other work in each turn.
//!
//! ```text
//! cargo bench --bench accept_latency              # criterion, then the table of ratios
//! cargo bench --bench accept_latency -- --test    # everything once, small
//! ```

mod drive;

use std::time::Duration;

use tidegate_bench::suite::{self, BUDGETS, Positions, Scale};

fn main() {
    drive::main(|scale| {
        // One in each turn is slow: a second of it is enough.
        let scale = Scale { queued: scale.queued.min(1000), ..scale };
        let by = |work| suite::queued_budgets(scale, work, &BUDGETS, &Positions::default());
        [by(Duration::ZERO), by(Duration::from_millis(1))].into_iter().flatten().collect()
    });
}
