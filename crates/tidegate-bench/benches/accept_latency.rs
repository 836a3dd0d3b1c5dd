//! Connections that queued while the server was held up: how long from when it goes on to
//! the callback of each, with and without 1 ms of other work in every turn.
//!
//! ```text
//! cargo bench --bench accept_latency              # criterion, then the table of ratios
//! cargo bench --bench accept_latency -- --test    # everything once, small
//! ```

mod drive;

use std::time::Duration;

use tidegate_bench::suite::{self, BUDGETS, Positions};

fn main() {
    drive::main(|scale| {
        let by = |work| suite::queued_budgets(scale, work, &BUDGETS, &Positions::default());
        [by(Duration::ZERO), by(Duration::from_millis(1))].into_iter().flatten().collect()
    });
}
